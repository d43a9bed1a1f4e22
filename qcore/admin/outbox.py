"""The page of tasks that are sent later: retries, long delays, parked and suspended ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin

from ..errors import QcoreError
from ..models import OutboxRow
from ..runtime import current
from .base import QcoreAdmin
from .cancelling import CancelsTasks, may_cancel
from .shown import NOTHING, moment, sent_at, short_id

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from ..envelope import Task


class OutboxAdmin(CancelsTasks, QcoreAdmin):
    """Read-only, for those who may cancel tasks: that is what can be done about them."""

    list_display = (
        *("short_id", "func", "queue", "sent_at"),
        *("priority", "expires", "gen", "tries"),
    )
    list_filter = ("queue",)
    search_fields = ("=task_id",)
    ordering = ("due", "id")
    list_per_page = 50
    show_full_result_count = False
    fields: ClassVar[Any] = (
        *("task_id", "name", "func", "queue", "group", "sent_at"),
        *("priority", "expires", "gen", "tries"),
    )
    readonly_fields: ClassVar[Any] = fields
    actions = ("cancel_tasks",)

    # -- columns -------------------------------------------------------------------
    @admin.display(description="task id", ordering="task_id")
    def short_id(self, row: OutboxRow) -> str:
        return short_id(row.task_id)

    @admin.display(description="function")
    def func(self, row: OutboxRow) -> str:
        return _said(row, "func")

    @admin.display(description="name")
    def name(self, row: OutboxRow) -> str:
        return _said(row, "name")

    @admin.display(description="group")
    def group(self, row: OutboxRow) -> str:
        return _said(row, "group")

    @admin.display(description="priority")
    def priority(self, row: OutboxRow) -> str:
        task = _task(row)
        return NOTHING if isinstance(task, QcoreError) else str(task.priority)

    @admin.display(description="expires")
    def expires(self, row: OutboxRow) -> str:
        task = _task(row)
        return NOTHING if isinstance(task, QcoreError) else moment(task.expires)

    @admin.display(description="sent at", ordering="due")
    def sent_at(self, row: OutboxRow) -> str:
        return sent_at(row.due, row.held_by, row.claimed, time.time())

    # -- whose table, and for whom ---------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxRow]:
        """Return the rows of the database of the ledger."""
        rows: QuerySet[OutboxRow] = super().get_queryset(request)
        return rows.using(_database())

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_cancel(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_cancel(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a row that is deleted is a task that is lost


def _database() -> str:
    control = current.control
    assert control is not None, "the page is shown to nobody where there is no ledger"
    return control.database


def _said(row: OutboxRow, name: str) -> str:
    """Return what the package of a row says of its task, if it can be trusted."""
    task = _task(row)
    if isinstance(task, QcoreError):
        return f"unreadable: {task}" if name == "func" else NOTHING
    return getattr(task, name) or NOTHING


def _task(row: Any) -> Task | QcoreError:
    """Return the task of a row, read once; or why its package cannot be trusted."""
    if not hasattr(row, "read_task"):
        try:
            row.read_task = current.signer.verify(bytes(row.package), row.queue)
        except QcoreError as error:
            row.read_task = error
    found: Task | QcoreError = row.read_task
    return found
