"""The page of tracked tasks: those that can be found from their enqueueing on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.utils.html import format_html, format_html_join

from ..clock import Clock
from ..errors import QcoreError
from ..masking import mask_url
from ..models import Tracked
from ..results import content as contents
from ..runtime import current
from ..status import running
from ..tasks.state import State, in_outbox, of_outcome
from .base import CarefulList, QcoreAdmin, may_see_arguments
from .cancelling import CancelsTasks, may_cancel
from .next_try import Place, outbox_places
from .shown import NOTHING, moment, progress_bar, short_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from ..status import Progress

#: Who may look: those who may look at results, for these are tasks, too.
VIEW_TASK = "qcore.view_task"

#: What is shown to those only who have a permission for it.
_ARGUMENTS = ("shown_args", "shown_kwargs")


class TrackedList(CarefulList):
    """The list of tracked tasks, with the state of each and the progress of those that run."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the tasks, then the outbox and the status of clusters, once for all."""
        super().get_results(request)
        look_up(self.result_list)


class TrackedAdmin(CancelsTasks, QcoreAdmin):
    """Read-only; tasks that have not ended can be cancelled."""

    list_display = (
        "short_id",
        "func",
        "state_now",
        "progress",
        "queue",
        "priority",
        "sent",
        "may_start",
        "started_at",
        "ended_at",
        "attempt_count",
    )
    list_filter = ("queue",)
    search_fields = ("=task_id", "func")
    ordering = ("-task_id",)  # ids ascend in time
    list_per_page = 50
    show_full_result_count = False
    fields: ClassVar[Any] = (
        "task_id",
        "func",
        *_ARGUMENTS,
        "state_now",
        "progress",
        "queue",
        "priority",
        "backend",
        "sent",
        "may_start",
        "started_at",
        "attempted_at",
        "ended_at",
        "attempt_count",
        "shown_workers",
        "shown_result",
        "shown_errors",
    )
    readonly_fields: ClassVar[Any] = fields
    actions = ("cancel_tasks",)

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[CarefulList]:
        return TrackedList

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what the page of a task shows; arguments need their own permission."""
        if may_see_arguments(request):
            return self.fields
        return [name for name in self.fields if name not in _ARGUMENTS]

    # -- columns -------------------------------------------------------------------
    @admin.display(description="task id", ordering="task_id")
    def short_id(self, row: Tracked) -> str:
        return short_id(row.task_id)

    @admin.display(description="state")
    def state_now(self, row: Any) -> str:
        if not hasattr(row, "place"):  # the page of one task
            look_up([row])
        return str(_state(row, row.place))

    @admin.display(description="progress")
    def progress(self, row: Any) -> str:
        if not hasattr(row, "told"):
            look_up([row])
        return progress_bar(row.told)

    @admin.display(description="sent", ordering="enqueued")
    def sent(self, row: Tracked) -> str:
        return moment(row.enqueued)

    @admin.display(description="not before")
    def may_start(self, row: Tracked) -> str:
        return moment(row.run_after)

    @admin.display(description="started")
    def started_at(self, row: Tracked) -> str:
        return moment(row.started)

    @admin.display(description="last attempt")
    def attempted_at(self, row: Tracked) -> str:
        return moment(row.attempted)

    @admin.display(description="ended", ordering="finished")
    def ended_at(self, row: Tracked) -> str:
        return moment(row.finished)

    @admin.display(description="attempts")
    def attempt_count(self, row: Tracked) -> int:
        return len(row.workers.split())

    @admin.display(description="workers")
    def shown_workers(self, row: Tracked) -> str:
        return ", ".join(row.workers.split()) or NOTHING

    @admin.display(description="arguments")
    def shown_args(self, row: Tracked) -> str:
        return _block(contents.show_part(row.payload, row.content, 0))

    @admin.display(description="keyword arguments")
    def shown_kwargs(self, row: Tracked) -> str:
        return _block(contents.show_part(row.payload, row.content, 1))

    @admin.display(description="result")
    def shown_result(self, row: Tracked) -> str:
        if row.value is None or row.value_content in (None, contents.TEXT):
            return NOTHING  # a text is the last of the errors
        return _block(contents.show(row.value, row.value_content, masked=True))

    @admin.display(description="errors")
    def shown_errors(self, row: Tracked) -> str:
        """Show when each attempt failed, and how; the last first."""
        try:
            tracker = current.tracker
            found = None if tracker is None else tracker.find(row.task_id)
        except QcoreError as error:
            return mask_url(str(error))
        if found is None or not found.errors:
            return NOTHING
        lines = [
            (moment(one.moment), one.path, mask_url(one.traceback))
            for one in reversed(found.errors)
        ]
        return format_html_join("", "<p>{} {}</p><pre>{}</pre>", lines)

    # -- whose table, and for whom ---------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[Tracked]:
        """Return the rows of the database of the ledger, without what only pages show."""
        rows: QuerySet[Tracked] = super().get_queryset(request)
        tracker = current.tracker
        assert tracker is not None, "the page is shown to nobody where there is none"
        return rows.using(tracker.database).defer("payload", "value", "errors")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        try:
            if current.tracker is None:
                return False
        except QcoreError:
            return False  # wrong settings are for the checks to tell
        return request.user.has_perm(VIEW_TASK) or may_cancel(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # they go by age, together


def look_up(rows: Sequence[Any]) -> None:
    """Note on tracked tasks that have not ended where they are, and how far they are."""
    places = outbox_places([row.pk for row in rows if row.state == State.WAITING])
    told = _progress({row.pk for row in rows if row.state == State.RUNNING})
    for row in rows:
        row.place, row.told = places.get(row.pk), told.get(row.pk)


def _progress(ids: set[str]) -> dict[str, Progress]:
    """Return what running tasks have told, by their ids; nothing where nobody can tell."""
    if not ids:
        return {}
    try:
        workers = [worker for cluster in running() for worker in cluster.workers]
    except QcoreError:
        return {}  # the page is worth seeing all the same
    return {
        worker.task_id: worker.progress
        for worker in workers
        if worker.task_id in ids and worker.progress is not None
    }


def _state(row: Tracked, place: Place | None) -> State:
    """Return the state of a tracked task, as ``qcore.tasks.status`` tells it."""
    if row.finished is not None:
        return of_outcome(row.state)
    if row.state == State.RUNNING:
        return State.RUNNING
    now = time.time() + Clock.offset
    if place is not None:
        due, held_by, claimed = place
        found = in_outbox(due, held_by, claimed, now)
        if found in (State.PARKED, State.SUSPENDED):
            return found
    later = row.run_after is not None and row.run_after > now
    return State.SCHEDULED if later else State.WAITING


def _block(text: str) -> str:
    return format_html("<pre>{}</pre>", text) if text else NOTHING
