"""The page of scheduled tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.forms import Textarea
from django.urls import reverse
from django.utils.html import format_html

from ..fields import BodyField
from ..models import SHORT, Schedule, Task

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.forms import ModelForm
    from django.http import HttpRequest

    _Admin = admin.ModelAdmin[Schedule]
else:
    _Admin = admin.ModelAdmin


class ScheduleAdmin(_Admin):
    """Schedules: who may change them may run any function ``allowed_tasks`` admits."""

    list_display = (
        "id",
        "name",
        "func",
        "schedule_type",
        "repeats",
        "cluster",
        "next_run",
        "paused",
        "last_run",
        "succeeded",
        "short_error",
    )
    list_display_links = ("id", "name", "func")
    list_filter = ("next_run", "schedule_type", "cluster", "paused")
    search_fields = ("name", "func")
    readonly_fields = ("error", "last_run")
    # arguments are a line, and seldom more
    formfield_overrides: ClassVar = {BodyField: {"widget": Textarea({"rows": 2})}}
    fieldsets = (
        (None, {"fields": ["name", "func", "args", "kwargs", "hook", "cluster"]}),
        (
            "When",
            {
                "fields": [
                    "schedule_type",
                    "minutes",
                    "cron",
                    "next_run",
                    "repeats",
                    "intended_date_kwarg",
                    "paused",
                ]
            },
        ),
        ("State", {"fields": ["last_run", "error"]}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """Return the schedules with the outcome of their last run, in one query."""
        last = Task.objects.filter(id=OuterRef("task")).values("success")[:1]
        return super().get_queryset(request).annotate(last_success=Subquery(last))

    def save_model(
        self,
        request: HttpRequest,
        obj: Schedule,
        form: ModelForm[Schedule],
        change: Any,
    ) -> None:
        """Store a schedule; a cron that was changed gets its next slot."""
        changed = set(form.changed_data)
        if (
            obj.schedule_type == Schedule.CRON
            and changed & {"cron", "schedule_type"}
            and "next_run" not in changed
        ):
            obj.next_run = None  # type: ignore[assignment]
        super().save_model(request, obj, form, change)

    @admin.display(description="last run")
    def last_run(self, row: Any) -> str:
        success = getattr(row, "last_success", None)
        if success is None:
            return row.task or "-"
        page = "success" if success else "failure"
        url = reverse(f"{self.admin_site.name}:qcore_{page}_change", args=[row.task])
        return format_html('<a href="{}">{}</a>', url, row.task)

    @admin.display(description="success", boolean=True)
    def succeeded(self, row: Any) -> bool | None:
        succeeded: bool | None = row.last_success
        return succeeded

    @admin.display(description="error")
    def short_error(self, row: Schedule) -> str:
        return row.error if len(row.error) <= SHORT else f"{row.error[: SHORT - 1]}…"
