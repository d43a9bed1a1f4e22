"""Queued tasks in the admin: what waits in the broker's table, read-only.

Packages are verified and their header is decoded; nothing that was pickled is ever
loaded here. Arguments are for those who may see them, and without the secrets that can be
told by their names.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.template.defaultfilters import filesizeformat

from qcore.admin.base import QcoreAdmin, may_see_arguments
from qcore.admin.cancelling import CancelsTasks
from qcore.admin.shown import NOTHING, moment, short_id
from qcore.errors import PackageError, QcoreError
from qcore.results.content import show_part
from qcore.runtime import current

from .models import OrmQ

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

#: Characters of arguments that the page of one task shows.
SHOWN = 4000

#: What is shown to those only who have a permission for it.
_ARGUMENTS = ("shown_args", "shown_kwargs")


@admin.register(OrmQ)
class QueueAdmin(CancelsTasks, QcoreAdmin):
    """Looks at the broker's own database, and only where it is the broker."""

    list_display = (
        "id",
        "key",
        "task_id",
        "name",
        "func",
        "priority",
        "attempts",
        "visible_from",
        "expires",
        "locked",
        "size",
    )
    list_filter = ("key",)
    list_per_page = 50
    ordering = ("visible", "id")
    # Counting a long queue a second time is all that it would add.
    show_full_result_count = False
    fields = readonly_fields = (
        "id",
        "key",
        "task_id",
        "name",
        "func",
        "group",
        "created",
        "priority",
        "attempts",
        "visible_from",
        "expires",
        "locked",
        "size",
        "links",
        *_ARGUMENTS,
    )

    actions = ("cancel_tasks",)

    def task_id_of(self, row: OrmQ) -> str | None:
        """Return the id of the task of a row; None where it cannot be read."""
        return row.task_id

    # -- columns ---------------------------------------------------------------
    @admin.display(description="task id")
    def task_id(self, row: OrmQ) -> str:
        task = row.task
        if isinstance(task, PackageError):
            return f"unreadable: {task}"
        return short_id(task.id)

    @admin.display(description="name", empty_value="-")
    def name(self, row: OrmQ) -> str | None:
        return row.name

    @admin.display(description="function", empty_value="-")
    def func(self, row: OrmQ) -> str | None:
        return row.func

    @admin.display(description="group")
    def group(self, row: OrmQ) -> str:
        return row.group or "-"  # a page of one row has no use for empty_value

    @admin.display(description="sent")
    def created(self, row: OrmQ) -> str:
        task = row.task
        return NOTHING if isinstance(task, PackageError) else moment(task.created)

    @admin.display(description="priority", ordering="-priority_rank")
    def priority(self, row: OrmQ) -> int:
        return row.priority

    @admin.display(description="expires")
    def expires(self, row: OrmQ) -> str:
        task = row.task
        return NOTHING if isinstance(task, PackageError) else moment(task.expires)

    @admin.display(description="visible from", ordering="visible")
    def visible_from(self, row: OrmQ) -> str:
        return moment(row.visible)

    @admin.display(description="locked", boolean=True)
    def locked(self, row: OrmQ) -> bool:
        # by this machine's clock: good enough to look at
        return row.claimed and row.visible > time.time()

    @admin.display(description="size")
    def size(self, row: OrmQ) -> str:
        return filesizeformat(len(row.payload))

    @admin.display(description="links that follow")
    def links(self, row: OrmQ) -> int | None:
        task = row.task
        return None if isinstance(task, PackageError) else task.links

    @admin.display(description="positional arguments")
    def shown_args(self, row: OrmQ) -> str | None:
        return _argument(row, 0)

    @admin.display(description="keyword arguments")
    def shown_kwargs(self, row: OrmQ) -> str | None:
        return _argument(row, 1)

    def get_fields(self, request: HttpRequest, obj: OrmQ | None = None) -> Any:
        """Return what the page of a task shows; arguments need their own permission."""
        may_see = may_see_arguments(request)
        return [name for name in self.fields if may_see or name not in _ARGUMENTS]

    # -- whose table, and for whom -----------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[OrmQ]:
        rows: QuerySet[OrmQ] = super().get_queryset(request)
        return rows.using(_database())

    def delete_model(self, request: HttpRequest, obj: OrmQ) -> None:
        """Delete it where it is queued: a router may name another database."""
        obj.delete(using=_database())

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_broker() and super().has_module_permission(request)

    def has_view_permission(
        self, request: HttpRequest, obj: OrmQ | None = None
    ) -> bool:
        return _is_broker() and super().has_view_permission(request, obj)

    def has_delete_permission(
        self, request: HttpRequest, obj: OrmQ | None = None
    ) -> bool:
        return _is_broker() and super().has_delete_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: OrmQ | None = None
    ) -> bool:
        return False


def _is_broker() -> bool:
    """Whether ``Q_CLUSTER`` has ``orm``; wrong settings are for the checks to tell."""
    try:
        return current.conf.selects("orm")
    except QcoreError:
        return False


def _database() -> str:
    return current.conf.options.get("orm") or "default"


def _argument(row: OrmQ, index: int) -> str | None:
    """Return one part of a call as text, without its secrets."""
    task = row.task
    if isinstance(task, PackageError):
        return None
    if task.content != "json":
        return f"{len(task.body):,} bytes of {task.content}, not loaded here"
    text = show_part(task.body.decode(errors="replace"), task.content, index)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
