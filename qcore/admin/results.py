"""The pages of finished tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Left
from django.http import HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html

from ..errors import QcoreError
from ..masking import mask_url
from ..models import SHORT, Task
from ..models.tables import RESULTS
from ..results import content as contents
from ..results.orm import OrmStore
from ..results.rows import said_of
from ..runtime import current
from .base import CarefulList, QcoreAdmin, may_see_arguments, migrated
from .cancelling import CancelsTasks
from .filters import (
    ClusterFilter,
    DeadFilter,
    ErrorFilter,
    FunctionFilter,
    GroupFilter,
)
from .next_try import next_tries
from .resubmit import resubmit
from .shown import NOTHING, moment, short_id

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

_DETAILS = (
    "id",
    "name",
    "func",
    "shown_args",
    "shown_kwargs",
    "outcome",
    "shown_result",
    "group",
    "hook",
    "cluster",
    "priority",
    "sent",
    "expires",
    "started_at",
    "stopped_at",
    "seconds",
    "attempt_count",
    "crashes",
    "resent_from",
)


#: What may be secret, and is shown to those only who have a permission for it.
_ARGUMENTS = ("shown_args", "shown_kwargs")


class TaskAdmin(QcoreAdmin):
    """A page to look at results: they can be deleted and sent again, not changed."""

    kind = RESULTS
    change_form_template = "admin/qcore/result_form.html"
    fields: ClassVar[Any] = _DETAILS
    readonly_fields: ClassVar[Any] = _DETAILS
    search_fields = ("name", "func", "group", "=id")
    list_filter: ClassVar[Any] = (GroupFilter, FunctionFilter, ClusterFilter)
    actions: Any = ("resubmit_task",)
    # counting a million rows twice is what makes a list slow
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        """Return the rows without what only the page of a single task shows."""
        return super().get_queryset(request).defer("payload", "value")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what the page of a task shows; arguments need their own permission."""
        if may_see_arguments(request):
            return self.fields
        return [name for name in self.fields if name not in _ARGUMENTS]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may send tasks again."""
        return request.user.has_perm("qcore.resubmit_task")

    @admin.action(description="Send the selected tasks again", permissions=["resubmit"])
    def resubmit_task(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """Send tasks again; one that cannot be sent does not stop the others."""
        sent = sum(self._resubmit(request, row) is not None for row in queryset)
        if sent:
            noun = "task was" if sent == 1 else "tasks were"
            self.message_user(request, f"{sent} {noun} sent again.", messages.SUCCESS)

    def _resubmit(self, request: HttpRequest, row: Task) -> str | None:
        """Send a task again; return the id of the new one, or tell why there is none."""
        try:
            new_id = resubmit(row, OrmStore(current.conf))
        except QcoreError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        self.log_change(request, row, f"Sent again as {new_id}.")
        self.after_resubmit(row)
        return new_id

    # -- the button on the page of one task ----------------------------------------
    def get_urls(self) -> list[Any]:
        """Return the addresses, and that of the button that sends a task again."""
        view = migrated(self, self.admin_site.admin_view(self.resend_view))
        own = path("<path:object_id>/resend/", view, name=self._resend_name)
        return [own, *super().get_urls()]

    @property
    def _resend_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_resend"

    def resend_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send one task again."""
        if not self.has_resubmit_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, unquote(object_id))
        app = self.admin_site.name
        pages = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        if row is None:
            text = "This result was deleted; nothing was sent."
            self.message_user(request, text, messages.ERROR)
        elif (new_id := self._resubmit(request, row)) is not None:
            self.message_user(request, f"Sent again as {new_id}.", messages.SUCCESS)
        elif self.has_view_or_change_permission(request, row):
            there = reverse(f"{pages}_change", args=[object_id], current_app=app)
            return HttpResponseRedirect(there)
        return HttpResponseRedirect(reverse(f"{pages}_changelist", current_app=app))

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **more: Any
    ) -> HttpResponse:
        """Show a task, with the button for those who may send it again."""
        row = more.get("obj")
        if row is not None and self.has_resubmit_permission(request):
            name = f"admin:{self._resend_name}"
            app = self.admin_site.name
            context["resend_url"] = reverse(name, args=[quote(row.pk)], current_app=app)
        return super().render_change_form(request, context, *args, **more)

    def after_resubmit(self, row: Task) -> None:
        """Do what is to be done with a row whose task was sent again: nothing."""

    @admin.display(description="positional arguments")
    def shown_args(self, row: Task) -> str:
        return _block(contents.show_part(row.payload, row.content, 0))

    @admin.display(description="keyword arguments")
    def shown_kwargs(self, row: Task) -> str:
        return _block(contents.show_part(row.payload, row.content, 1))

    @admin.display(description="result")
    def shown_result(self, row: Task) -> str:
        return _block(contents.show(row.value, row.value_content, masked=True))

    @admin.display(description="sent again from")
    def resent_from(self, row: Task) -> str:
        return said_of(row.options).resent_from or NOTHING

    @admin.display(description="priority")
    def priority(self, row: Task) -> int:
        return said_of(row.options).priority

    @admin.display(description="expires")
    def expires(self, row: Task) -> str:
        return moment(said_of(row.options).expires)

    @admin.display(description="time taken (s)")
    def seconds(self, row: Task) -> str:
        return f"{row.time_taken():.3f}"

    @admin.display(description="id", ordering="id")
    def short_id(self, row: Task) -> str:
        return short_id(row.pk)

    @admin.display(description="sent", ordering="enqueued")
    def sent(self, row: Task) -> str:
        return moment(row.enqueued)

    @admin.display(description="started", ordering="started")
    def started_at(self, row: Task) -> str:
        return moment(row.started)

    @admin.display(description="stopped", ordering="stopped")
    def stopped_at(self, row: Task) -> str:
        return moment(row.stopped)


class SuccessAdmin(TaskAdmin):
    """Successful tasks."""

    list_display = (
        "name",
        "func",
        "group",
        "cluster",
        "started_at",
        "stopped_at",
        "seconds",
        "attempt_count",
        "priority",
        "short_id",
    )


class FailureList(CarefulList):
    """The list of failed tasks, with the next try of each."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the tasks, and then the ledger, which may be in another database."""
        super().get_results(request)
        rows: Any = self.result_list  # it has read its rows, and keeps them
        found = next_tries(rows)
        for row in rows:
            row.next_try = found[row.pk]


class FailureAdmin(CancelsTasks, TaskAdmin):
    """Failed tasks; one that is sent again goes from the list.

    Those that are tried again can be cancelled.
    """

    list_filter: ClassVar[Any] = (
        *(DeadFilter, ErrorFilter, GroupFilter, FunctionFilter, ClusterFilter),
    )
    actions: Any = ("resubmit_task", "cancel_tasks")

    fields: ClassVar[Any] = (*_DETAILS, "next_try", "fingerprint")
    readonly_fields: ClassVar[Any] = fields
    # the error stands before the times: a narrow window cuts the last columns off
    list_display = (
        "name",
        "func",
        "short_result",
        "outcome",
        "attempt_count",
        "next_try",
        "stopped_at",
        "seconds",
        "group",
        "cluster",
        "started_at",
        "priority",
        "short_id",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        rows = super().get_queryset(request)
        return rows.annotate(beginning=Left("value", SHORT))

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[CarefulList]:
        return FailureList

    def task_id_of(self, row: Any) -> str:
        """Return the id of the task of a row."""
        return str(row.pk)

    @admin.display(description="next try")
    def next_try(self, row: Any) -> str:
        if not hasattr(row, "next_try"):  # the page of one task
            row.next_try = next_tries([row])[row.pk]
        told: str = row.next_try
        return told

    @admin.display(description="error")
    def short_result(self, row: Any) -> str:
        beginning: str = row.beginning
        return mask_url(beginning.partition("\n")[0])

    def after_resubmit(self, row: Task) -> None:
        """Delete the failure: its successor will say how it went."""
        row.delete()


def _block(text: str) -> str:
    return format_html("<pre>{}</pre>", text)
