"""The admin: who has which key. Deleting a row frees the key."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.utils import timezone

from .models import UniqueKey

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(UniqueKey)
class UniqueKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows keys; they are made by tasks only."""

    list_display = ("key", "task_id", "during", "since", "free_at")
    list_filter = ("during",)
    search_fields = ("key", "task_id")
    ordering = ("until",)
    show_full_result_count = False

    @admin.display(description="since", ordering="taken")
    def since(self, row: UniqueKey) -> dt.datetime:
        """Return when the task has got the key."""
        return moment(row.taken)

    @admin.display(description="free at the latest", ordering="until")
    def free_at(self, row: UniqueKey) -> dt.datetime:
        """Return when the key is free whatever has become of the task."""
        return moment(row.until)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a key by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a key by hand."""
        return False


def moment(seconds: float) -> dt.datetime:
    """Return seconds since the epoch as a date of the project's zone."""
    found = dt.datetime.fromtimestamp(seconds, dt.UTC)
    if not settings.USE_TZ:
        return timezone.make_naive(found)
    return found
