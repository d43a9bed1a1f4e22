"""The action of pages whose rows are tasks that have not ended: cancel them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages

from ..errors import QcoreError
from ..masking import mask_url
from ..monitor.text import number, plural
from ..runtime import current
from ..tasks.control import cancel

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = object

#: Who may cancel tasks.
CANCEL_TASK = "qcore.cancel_task"


def may_cancel(request: HttpRequest) -> bool:
    """Return whether the user may cancel tasks, and the project has a ledger for it."""
    try:
        has_ledger = current.control is not None
    except QcoreError:
        return False  # wrong settings are for the checks to tell
    return has_ledger and bool(request.user.has_perm(CANCEL_TASK))


class CancelsTasks(_Admin):
    """A page with the action ``cancel_tasks``, which a subclass lists among its actions."""

    def task_id_of(self, row: Any) -> str | None:
        """Return the id of the task of a row; None where nobody can tell it."""
        found: str | None = row.task_id
        return found

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel tasks."""
        return may_cancel(request)

    @admin.action(description="Cancel the selected tasks", permissions=["cancel"])
    def cancel_tasks(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Ask that tasks do not run, or run no further, and say what was found of them."""
        ids = [self.task_id_of(row) for row in queryset]
        known = [id for id in ids if id is not None]
        try:
            found = list(cancel(known).values())
        except QcoreError as error:
            text = f"No task is cancelled: {mask_url(str(error))}"
            self.message_user(request, text, messages.ERROR)
            return
        if asked := sum(what != "ended" for what in found):
            text = (
                f"Asked to cancel {plural(asked, 'task')}: a task that waits ends when a"
                " cluster claims it, a task that runs within about a second."
            )
            self.message_user(request, text, messages.SUCCESS)
        if ended := len(found) - asked:
            self.message_user(request, f"{plural(ended, 'task')} had ended already.")
        if unknown := ids.count(None):
            text = f"Of {number(unknown)} selected rows, the task cannot be read."
            self.message_user(request, text, messages.WARNING)
