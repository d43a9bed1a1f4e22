"""The page of quarantined packages: to look at, and to delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import BinaryField
from django.db.models.functions import Substr

from ..models.quarantine import SHOWN
from ..models.tables import RESULTS
from .base import QcoreAdmin, may_see_arguments
from .shown import masked, moment

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from ..models import Quarantine


class QuarantineAdmin(QcoreAdmin):
    """Read-only; the bytes are shown as they are, and never decoded.

    They may be arguments, so only those see them who may see those of tasks.
    """

    kind = RESULTS
    list_display = ("taken_at", "queue", "reason", "size", "first_bytes")
    list_filter = ("reason", "queue")
    search_fields = ("detail",)
    date_hierarchy = "at"
    fields = ("taken_at", "queue", "reason", "shown_detail", "size", "first_bytes")
    readonly_fields: ClassVar = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quarantine]:
        """Return the rows without their packages, of which each may have 2 MiB."""
        rows: QuerySet[Quarantine] = super().get_queryset(request).defer("package")
        first = Substr("package", 1, SHOWN, output_field=BinaryField())
        return rows.annotate(beginning=first)

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._shown(request, super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._shown(request, super().get_fields(request, obj))

    def _shown(self, request: HttpRequest, names: Any) -> list[Any]:
        may_see = may_see_arguments(request)
        return [name for name in names if may_see or name != "first_bytes"]

    @admin.display(description="first bytes")
    def first_bytes(self, row: Any) -> str:
        return repr(bytes(row.beginning or b""))

    @admin.display(description="at", ordering="at")
    def taken_at(self, row: Any) -> str:
        return moment(row.at)

    @admin.display(description="detail")
    def shown_detail(self, row: Any) -> str:
        return masked(row.detail)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
