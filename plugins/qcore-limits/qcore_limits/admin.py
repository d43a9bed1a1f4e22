"""The admin: who has which key. Deleting a row frees the key.

A key that a template has made holds arguments of its task, so it is shown to those alone who
may see arguments.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.db import router
from django.utils import timezone

from qcore.admin.base import QcoreAdmin, may_see_arguments
from qcore.masking import mask_url
from qcore.runtime import current

from .models import UniqueKey

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


@admin.register(UniqueKey)
class UniqueKeyAdmin(QcoreAdmin):
    """Shows keys; they are made by tasks only."""

    list_display = ("shown_key", "task_id", "during", "since", "free_at")
    fields = ("digest", *list_display)
    list_filter = ("during",)
    ordering = ("until",)
    show_full_result_count = False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns; keys need the permission to see arguments."""
        _, *others = self.list_display
        return ["shown_key" if may_see_arguments(request) else "digest", *others]

    def get_fields(self, request: HttpRequest, obj: UniqueKey | None = None) -> Any:
        """Return what the page of a key shows."""
        may_see = may_see_arguments(request)
        return [name for name in self.fields if may_see or name != "shown_key"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return where to search: a key could be guessed letter by letter."""
        return ["key", "task_id"] if may_see_arguments(request) else ["task_id"]

    @admin.display(description="key", ordering="key")
    def shown_key(self, row: UniqueKey) -> str:
        """Return the key without the secrets that can be told by their form."""
        return mask_url(row.key)

    @admin.display(description="since", ordering="taken")
    def since(self, row: UniqueKey) -> dt.datetime:
        """Return when the task has got the key."""
        return moment(row.taken)

    @admin.display(description="free at the latest", ordering="until")
    def free_at(self, row: UniqueKey) -> dt.datetime:
        """Return when the key is free whatever has become of the task."""
        return moment(row.until)

    # -- whose table, and for whom -----------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[UniqueKey]:
        """Return the rows where tasks take their keys: a router may name another database."""
        rows: QuerySet[UniqueKey] = super().get_queryset(request)
        return rows.using(_database())

    def delete_model(self, request: HttpRequest, obj: UniqueKey) -> None:
        """Delete a key where it was taken."""
        obj.delete(using=_database())

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a key by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a key by hand."""
        return False


def _database() -> str:
    ledger = current.ledger
    return router.db_for_write(UniqueKey) if ledger is None else ledger.database


def moment(seconds: float) -> dt.datetime:
    """Return seconds since the epoch as a date of the project's zone."""
    found = dt.datetime.fromtimestamp(seconds, dt.UTC)
    if not settings.USE_TZ:
        return timezone.make_naive(found)
    return found
