"""List filters whose choices come from the newest rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import SimpleListFilter

from ..models import DEAD
from ..printable import shorten
from ..results.orm import OrmStore
from ..runtime import current
from .shown import masked

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

#: Rows that are looked at. Django's own filter reads the whole table, which takes
#: seconds at a million rows and gives as many choices as there are groups.
NEWEST = 1000

#: Groups of dead tasks that are offered, and characters of the error of each.
GROUPS, ERROR = 20, 60


class NewestFilter(SimpleListFilter):
    """Filters by one column; offers the values that the newest rows have."""

    column: ClassVar[str]

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request)
        values = rows.order_by("-stopped").values_list(self.column, flat=True)[:NEWEST]
        named = {value for value in values if value}
        if chosen := self.value():
            named.add(chosen)
        return [(value, value) for value in sorted(named)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset if chosen is None else queryset.filter(**{self.column: chosen})


class GroupFilter(NewestFilter):
    """Filters by group."""

    title = "group"
    parameter_name = column = "group"


class ClusterFilter(NewestFilter):
    """Filters by cluster."""

    title = "cluster"
    parameter_name = column = "cluster"


class FunctionFilter(NewestFilter):
    """Filters by function."""

    title = "function"
    parameter_name = column = "func"


class DeadFilter(SimpleListFilter):
    """Tells tasks that have failed for good from those that are tried again."""

    title = "dead"
    parameter_name = "dead"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return [("yes", "failed for good"), ("no", "tried again, or not known")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(DEAD)
        return queryset.exclude(DEAD) if self.value() == "no" else queryset


class ErrorFilter(SimpleListFilter):
    """Filters dead tasks by the fingerprint of their error; offers the latest groups."""

    title = "error"
    parameter_name = "fingerprint"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        told: dict[str, str] = {}
        for group in OrmStore(current.conf).dead_groups(GROUPS):
            text = f"{group.func}: {shorten(masked(group.error), ERROR)}"
            told.setdefault(group.fingerprint, f"{group.count:,} \u00d7 {text}")
        if chosen := self.value():
            told.setdefault(chosen, chosen)
        return list(told.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset if chosen is None else queryset.filter(DEAD, fingerprint=chosen)
