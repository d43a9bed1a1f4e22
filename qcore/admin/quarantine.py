"""The page of quarantined packages: to look at, and to delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..models import Quarantine

    Base = admin.ModelAdmin[Quarantine]
else:
    Base = admin.ModelAdmin


class QuarantineAdmin(Base):
    """Read-only; the bytes are shown as they are, and never decoded."""

    list_display = ("at", "queue", "reason", "size", "first_bytes")
    list_filter = ("reason", "queue")
    search_fields = ("detail",)
    date_hierarchy = "at"
    fields = ("at", "queue", "reason", "detail", "size", "first_bytes")
    readonly_fields: ClassVar = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
