"""The page of scheduled tasks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import router
from django.forms import ModelForm, Textarea
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from ..errors import QcoreError
from ..masking import mask_url
from ..models import SHORT, Schedule, Task
from ..models.fields import BodyField
from ..models.tables import RESULTS, SCHEDULES, kept_elsewhere
from ..printable import printable
from ..results import content as contents
from ..runtime import current
from ..schedules import rules
from .base import CarefulList, QcoreAdmin, may_see_arguments
from .shown import NOTHING, masked, moment, short_id

if TYPE_CHECKING:
    from django.http import HttpRequest

    _Form = ModelForm[Schedule]
else:
    _Form = ModelForm

logger = logging.getLogger("qcore.admin")

#: The fields of arguments, and what stands in their place where they cannot be changed.
_ARGUMENTS = {"args": "shown_args", "kwargs": "shown_kwargs"}


#: Fields that clusters write, too.
_MOVED = {"next_run", "repeats", "paused"}


class ScheduleForm(_Form):
    """The form of a schedule, for which it may lack the arguments.

    Clusters move a schedule on while its form is open. So the form remembers what it has
    shown, and what nobody has changed in it stays as it is by now.
    """

    #: The run that ``next_run`` was set back to, if it was sent already.
    sent_before: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _MOVED & self.fields.keys():
            self.fields[name].show_hidden_initial = True

    def clean_next_run(self) -> Any:
        """Return the next run, with the fraction of a second that no form shows."""
        given, stored = self.cleaned_data["next_run"], self.instance.next_run
        if given is None or self.instance.pk is None:
            return given
        if given == stored.replace(microsecond=0):
            return stored
        if self.instance.has_fired(given):
            self.sent_before = given
            return stored
        return given

    def clean(self) -> Any:
        """Take what was not changed from the row, not from the page."""
        for name in _MOVED & self.cleaned_data.keys() if self.instance.pk else ():
            shown = self.add_initial_prefix(name)
            if name not in self.changed_data and any(
                key.startswith(shown) for key in self.data
            ):
                self.cleaned_data[name] = getattr(self.instance, name)
                self.sent_before = None if name == "next_run" else self.sent_before
        return super().clean()

    def add_error(self, field: str | None, error: Any) -> None:
        """Note an error; what is wrong with hidden arguments is told without them."""
        if field is None and hasattr(error, "error_dict"):
            hidden = error.error_dict.keys() & (_ARGUMENTS.keys() - self.fields.keys())
            for name in hidden:
                error.error_dict[name] = []
                error.error_dict.setdefault(NON_FIELD_ERRORS, []).append(
                    f"{name}: the value is wrong, and you may not see it. Ask somebody"
                    " with the permission qcore.view_args."
                )
            error.error_dict = {k: v for k, v in error.error_dict.items() if v}
        super().add_error(field, error)


class ScheduleList(CarefulList):
    """The list of schedules, with the outcome of the last run of each."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the schedules, and then their results, which may be in another database."""
        super().get_results(request)
        rows: Any = self.result_list  # it has read its rows, and keeps them
        found = last_successes([row.task for row in rows if row.task])
        for row in rows:
            row.last_success = found.get(row.task)


def last_successes(ids: list[str]) -> dict[str, bool]:
    """Return which of these tasks succeeded, of those that are stored."""
    if not ids:
        return {}
    if kept_elsewhere(RESULTS):
        return _asked(ids)
    # where the store writes: a replica may not have it yet
    stored = Task.objects.using(router.db_for_write(Task))
    return dict(stored.filter(id__in=ids).values_list("id", "success"))


def _asked(ids: list[str]) -> dict[str, bool]:
    """Return what the selected result store says; it may know only some of them."""
    found = {}
    try:
        for id in ids:
            if record := current.store().fetch(id):
                found[id] = record.success
    except QcoreError as error:
        logger.warning("the last runs of schedules are not known: %s", error)
    return found


class ScheduleAdmin(QcoreAdmin):
    """Schedules: who may change them may run any function ``allowed_tasks`` admits.

    The arguments of a schedule are shown to those who may see those of tasks; anybody
    else who may change a schedule leaves its arguments as they are.
    """

    kind = SCHEDULES
    form = ScheduleForm
    #: The label of the app whose pages show results: links to a last run lead there.
    results_app: ClassVar[str] = "qcore"

    list_display = (
        "id",
        "name",
        "func",
        "when",
        "short_error",
        "next_run_at",
        "succeeded",
        "last_run",
        "runs_left",
        "cluster",
        "paused",
        "declared",
        "next_try",
    )
    list_display_links = ("id", "name", "func")
    list_filter = ("next_run", "schedule_type", "cluster", "paused", "declared")
    search_fields = ("name", "func")
    readonly_fields = (
        "shown_error",
        "last_run",
        "next_runs",
        "next_try",
        "declared",
        *_ARGUMENTS.values(),
    )
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
                    "seconds",
                    "cron",
                    "tz",
                    "next_run",
                    "repeats",
                    "ends",
                    "missed",
                    "overlap",
                    "jitter",
                    "intended_date_kwarg",
                    "paused",
                ]
            },
        ),
        (
            "State",
            {
                "fields": [
                    "declared",
                    "next_runs",
                    "last_run",
                    "shown_error",
                    "next_try",
                ]
            },
        ),
    )

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[CarefulList]:
        return ScheduleList

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether a schedule may be changed here; the code changes its own."""
        own = obj is not None and obj.declared
        return not own and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether a schedule may be deleted here; the code deletes its own."""
        own = obj is not None and obj.declared
        return not own and super().has_delete_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether a new schedule here would ever be fired."""
        return self.told() is None and super().has_add_permission(request)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the groups of fields; arguments need their own permission."""
        groups = super().get_fieldsets(request, obj)
        if obj is None:
            return groups  # a new one has nothing to hide
        if may_see_arguments(request):
            if self.has_change_permission(request, obj):
                return groups
            own: dict[Any, str] = dict(_ARGUMENTS)
        else:
            own = dict.fromkeys(_ARGUMENTS, "")
        return [
            (
                title,
                {
                    **group,
                    "fields": [n for f in group["fields"] if (n := own.get(f, f))],
                },
            )
            for title, group in groups
        ]

    def save_model(
        self, request: HttpRequest, obj: Schedule, form: Any, change: Any
    ) -> None:
        """Store a schedule, and say where its time was not taken."""
        super().save_model(request, obj, form, change)
        if form.sent_before:
            self.message_user(
                request,
                f"The run of {form.sent_before:%Y-%m-%d %H:%M:%S} was sent already, so the"
                f" next run of {obj} was not changed. Set the next run to another time for"
                " one more run.",
                messages.WARNING,
            )
        if obj.cluster and (doubt := current.doubt_of(obj.cluster)):
            self.message_user(request, printable(doubt), messages.WARNING)

    @admin.display(description="args")
    def shown_args(self, row: Schedule) -> str:
        return contents.show(row.args, contents.JSON, masked=True) if row.args else "-"

    @admin.display(description="kwargs")
    def shown_kwargs(self, row: Schedule) -> str:
        text = row.kwargs
        return contents.show(text, contents.JSON, masked=True) if text else "-"

    @admin.display(description="when", ordering="schedule_type")
    def when(self, row: Schedule) -> str:
        try:
            told = rules.explain(row.entry.rule(current.conf))
        except QcoreError:
            return row.get_schedule_type_display()  # its error has a column
        return f"{told} ({row.tz})" if row.tz else told

    @admin.display(description="next run", ordering="next_run")
    def next_run_at(self, row: Schedule) -> str:
        return moment(row.next_run)

    @admin.display(description="repeats", ordering="repeats")
    def runs_left(self, row: Schedule) -> str:
        return "for ever" if row.repeats < 0 else f"{row.repeats:,} more"

    @admin.display(description="next try", ordering="retry_at")
    def next_try(self, row: Schedule) -> str:
        return moment(row.retry_at)

    @admin.display(description="next runs")
    def next_runs(self, row: Schedule) -> str:
        try:
            runs = row.next_runs()
        except QcoreError as error:
            return mask_url(str(error))
        return ", ".join(map(moment, runs)) or NOTHING

    @admin.display(description="last run")
    def last_run(self, row: Any) -> str:
        if not row.task:
            return "-"
        success = _last_success(row)
        if success is None:
            return short_id(row.task)
        page = "success" if success else "failure"
        name = f"{self.admin_site.name}:{self.results_app}_{page}_change"
        try:
            url = reverse(name, args=[row.task])
        except NoReverseMatch:  # a site that has no pages of results
            return short_id(row.task)
        return format_html('<a href="{}">{}</a>', url, short_id(row.task))

    @admin.display(description="success", boolean=True)
    def succeeded(self, row: Any) -> bool | None:
        return _last_success(row)

    @admin.display(description="error")
    def shown_error(self, row: Schedule) -> str:
        return masked(row.error)

    @admin.display(description="error")
    def short_error(self, row: Schedule) -> str:
        error = mask_url(row.error)
        return error if len(error) <= SHORT else f"{error[: SHORT - 1]}…"


def _last_success(row: Any) -> bool | None:
    """Return whether the last run succeeded; lists have looked that up already."""
    if not hasattr(row, "last_success"):
        row.last_success = last_successes([row.task]).get(row.task)
    found: bool | None = row.last_success
    return found
