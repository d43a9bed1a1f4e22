"""The page of paused queues: to pause one, and to resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages

from ..conf.names import WHO, queue_fault
from ..errors import QcoreError
from ..models import QueuePause
from ..runtime import current
from .base import QcoreAdmin
from .shown import masked, moment

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from ..runtime import ControlLike

    _Form = forms.ModelForm[QueuePause]
else:
    _Form = forms.ModelForm

#: The permission to pause and to resume.
CONTROL_QUEUE = "qcore.control_queue"


class PauseForm(_Form):
    """Which queue is to be paused, and why."""

    def clean_queue(self) -> str:
        """Return the name, which some queue can have."""
        name: str = self.cleaned_data["queue"]
        if fault := queue_fault(name):
            raise forms.ValidationError(f"The name {fault}.")
        return name


class QueuePauseAdmin(QcoreAdmin):
    """To add a row is to pause a queue, and to delete the row resumes it."""

    form = PauseForm
    list_display = ("queue", "shown_reason", "paused_by", "since")
    search_fields = ("queue", "paused_by", "reason")
    actions = ("resume",)
    fields = ("queue", "since", "paused_by", "shown_reason")

    @admin.display(description="since", ordering="at")
    def since(self, row: QueuePause) -> str:
        return moment(row.at)

    @admin.display(description="reason")
    def shown_reason(self, row: QueuePause) -> str:
        return masked(row.reason)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is not None else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is not None else ("queue", "reason")

    # -- pausing and resuming --------------------------------------------------------
    def save_model(
        self, request: HttpRequest, obj: QueuePause, form: Any, change: bool
    ) -> None:
        """Pause the queue."""
        if doubt := current.doubt_of(obj.queue):
            text = f"{doubt[0].upper()}{doubt[1:]}"
            self.message_user(request, text, messages.WARNING)
        who = request.user.get_username()[:WHO]
        _control().pause(obj.queue, who, obj.reason)

    def delete_model(self, request: HttpRequest, obj: QueuePause) -> None:
        """Resume the queue."""
        _control().resume(obj.queue)

    @admin.action(description="Resume selected queues", permissions=["control"])
    def resume(self, request: HttpRequest, queryset: QuerySet[QueuePause]) -> None:
        """Resume queues, and say which."""
        names = [row.queue for row in queryset]
        for name in names:
            _control().resume(name)
        self.message_user(request, f"Resumed: {', '.join(names)}.", messages.SUCCESS)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """Return the actions without that of Django, which would only delete rows.

        Django says from 6.1 on where the actions are shown.
        """
        where = {} if action_location is None else {"action_location": action_location}
        usual: Any = super().get_actions
        found = usual(request, **where)
        found.pop("delete_selected", None)
        return found

    # -- whose table, and for whom -----------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[QueuePause]:
        rows: QuerySet[QueuePause] = super().get_queryset(request)
        return rows.using(_control().database)

    def has_control_permission(self, request: HttpRequest) -> bool:
        return _has_ledger() and request.user.has_perm(CONTROL_QUEUE)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may_look = super().has_view_permission(request, obj)
        return _has_ledger() and (may_look or request.user.has_perm(CONTROL_QUEUE))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_control_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_control_permission(request)


def _control() -> ControlLike:
    control = current.control
    assert control is not None, "the page is shown to nobody where there is no ledger"
    return control


def _has_ledger() -> bool:
    """Whether the project has a ledger; wrong settings are for the checks to tell."""
    try:
        return current.control is not None
    except QcoreError:
        return False
