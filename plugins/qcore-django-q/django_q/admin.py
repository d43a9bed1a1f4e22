"""The admin of django-q: its classes, addresses and permissions.

The pages of qcore for the same rows are taken out, so that nothing is there twice. Nothing
that was pickled is opened here.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.widgets import AdminSplitDateTime
from django.forms import ModelForm, SplitDateTimeField

from qcore.admin import FailureAdmin as QcoreFailureAdmin
from qcore.admin import ScheduleAdmin as QcoreScheduleAdmin
from qcore.admin import SuccessAdmin as QcoreSuccessAdmin
from qcore.errors import QcoreError
from qcore.models import Failure as QcoreFailure
from qcore.models import Schedule as QcoreSchedule
from qcore.models import Success as QcoreSuccess
from qcore.runtime import current
from qcore_orm.admin import QueueAdmin as QcoreQueueAdmin
from qcore_orm.models import OrmQ as QcoreOrmQ

from .models import Failure, OrmQ, Schedule, Success

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = [
    "FailAdmin",
    "QueueAdmin",
    "ScheduleAdmin",
    "TaskAdmin",
    "register",
    "resubmit_task",
]


@admin.action(description="Resubmit selected tasks to queue", permissions=["change"])
def resubmit_task(model_admin: Any, request: HttpRequest, queryset: Any) -> None:
    """Send tasks again; one that cannot be sent does not stop the others."""
    from qcore.admin.resubmit import resubmit

    for row in queryset:
        try:
            resubmit(row)
        except QcoreError as error:
            model_admin.message_user(request, str(error), messages.ERROR)
            continue
        if isinstance(model_admin, FailAdmin):
            row.delete()


class TaskAdmin(QcoreSuccessAdmin):
    """Successful tasks."""

    list_display: Any = (
        "name",
        "group",
        "func",
        "cluster",
        "started",
        "stopped",
        "time_taken",
    )
    actions: Any = (resubmit_task,)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may act on tasks; no field of one can be edited."""
        return admin.ModelAdmin.has_change_permission(self, request, obj)


class FailAdmin(QcoreFailureAdmin):
    """Failed tasks."""

    actions: Any = (resubmit_task,)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may act on tasks; no field of one can be edited."""
        return admin.ModelAdmin.has_change_permission(self, request, obj)


class ScheduleAdmin(QcoreScheduleAdmin):
    """Schedules."""

    results_app = "django_q"

    @admin.display(description="args")
    def shown_args(self, row: Any) -> str:
        """Show the positional arguments, without secrets."""
        with row.as_stored():
            return super().shown_args(row)

    @admin.display(description="kwargs")
    def shown_kwargs(self, row: Any) -> str:
        """Show the keyword arguments, without secrets."""
        with row.as_stored():
            return super().shown_kwargs(row)


class LockForm(ModelForm):  # type: ignore[type-arg]
    """The form of a queued task: its lock. What is signed cannot be changed."""

    lock = SplitDateTimeField(
        required=False,
        widget=AdminSplitDateTime,
        help_text="until when no cluster takes it; empty: now",
    )

    class Meta:
        model = OrmQ
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("lock", self.instance.lock)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if "lock" in self.cleaned_data:
            self.instance.lock = self.cleaned_data["lock"]


class QueueAdmin(QcoreQueueAdmin):
    """Queued tasks; a lock can be changed, and what is signed cannot."""

    form = LockForm
    list_display: Any = (
        "id",
        "key",
        "name",
        "group",
        "func",
        "lock",
        "task_id",
        "attempts",
    )
    fields: ClassVar[Any] = (*QcoreQueueAdmin.fields, "lock")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what the page shows; the lock is a field for those who may change it."""
        names = super().get_fields(request, obj)
        return [*names] if self.has_change_permission(request, obj) else names[:-1]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what cannot be changed: all but the lock."""
        return [name for name in self.fields if name != "lock"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may change a lock."""
        return self.has_module_permission(
            request
        ) and admin.ModelAdmin.has_change_permission(self, request, obj)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: Any
    ) -> None:
        """Store the lock, in the database of the broker."""
        database = current.conf.options.get("orm") or "default"
        obj.save(using=database, update_fields=["visible", "claimed"])

    @admin.display(description="task id")
    def task_id(self, row: Any) -> str:
        """Show the id of the task, or why it cannot be read."""
        return str(row.task_id())

    @admin.display(description="name")
    def name(self, row: Any) -> str:
        """Show the name of the task."""
        return row.name() or "-"

    @admin.display(description="function")
    def func(self, row: Any) -> str:
        """Show the path of the function."""
        return row.func() or "-"

    @admin.display(description="group")
    def group(self, row: Any) -> str:
        """Show the group of the task."""
        return row.group() or "-"


#: The pages: the model of django-q, its class, and the model of qcore whose page goes.
_PAGES: tuple[tuple[Any, Any, Any], ...] = (
    (Schedule, ScheduleAdmin, QcoreSchedule),
    (Success, TaskAdmin, QcoreSuccess),
    (Failure, FailAdmin, QcoreFailure),
)


def register(site: admin.AdminSite) -> None:
    """Put the pages of django-q in the place of those of qcore."""
    pages = list(_PAGES)
    if current.registry.providers("broker") and _has_queue():
        pages.append((OrmQ, QueueAdmin, QcoreOrmQ))
    for model, page, other in pages:
        with contextlib.suppress(NotRegistered):  # the project has taken it out
            site.unregister(other)
        site.register(model, page)


def _has_queue() -> bool:
    """Return whether the ORM broker is in use; wrong settings are told by the checks."""
    try:
        return current.choice("broker").name == "orm"
    except QcoreError:
        return False


register(admin.site)
