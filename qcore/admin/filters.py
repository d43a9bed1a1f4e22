"""List filters whose choices come from the newest rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import SimpleListFilter

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

#: Rows that are looked at. Django's own filter reads the whole table, which takes
#: seconds at a million rows and gives as many choices as there are groups.
NEWEST = 1000


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
