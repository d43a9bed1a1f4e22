"""What all pages of qcore have in common: they answer whatever they are asked.

An address can be written by anybody who may log in. A value that no column can hold, or
that a database refuses, is an answer of Django's admin ("no such row", the list without
that filter) and no error page. What a page hides cannot be found out by filters either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import (
    FieldDoesNotExist,
    PermissionDenied,
    ValidationError,
)
from django.db import (
    DataError,
    Error,
    OperationalError,
    connections,
    router,
)
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from ..errors import StoreError
from ..models.missing_tables import migrate_advice
from ..models.tables import exists, kept_elsewhere

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse

    _Admin = admin.ModelAdmin[Any]
    _ChangeList = ChangeList
else:
    _Admin = admin.ModelAdmin
    _ChangeList = ChangeList

#: The permission without which nobody sees arguments of tasks.
VIEW_ARGS = "qcore.view_args"

#: Characters and words that a search may have: each word is a condition of its own for
#: every column that is searched, and databases set a limit to those.
MAX_SEARCH, MAX_WORDS = 500, 20

#: What a filter may ask of a column.
_LOOKUPS = frozenset(
    {"", "exact", "in", "isnull", "gt", "gte", "lt", "lte", "year", "month", "day"}
)

#: What a value may raise on its way into a query, and the database about it. MariaDB has
#: OperationalError for some, as for a connection that is gone.
_REFUSED = (ValueError, OverflowError, DataError, OperationalError)


def may_see_arguments(request: HttpRequest) -> bool:
    """Return whether the user may see what tasks are called with."""
    return bool(request.user.has_perm(VIEW_ARGS))


class CarefulList(_ChangeList):
    """A list that fails, where it fails, before the page is drawn."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of this page.

        Raises:
            IncorrectLookupParameters: the database cannot compare with what was asked.
        """
        super().get_results(request)
        len(self.result_list)  # reads them, once


class QcoreAdmin(_Admin):
    """Base class of the pages of qcore."""

    #: Which kind of plugin keeps these rows; None where it is always this table.
    kind: ClassVar[str | None] = None

    def told(self) -> str | None:
        """Return who keeps the rows in place of this table; None where nobody does."""
        return kept_elsewhere(self.kind) if self.kind else None

    def _is_away(self) -> bool:
        """Whether a plugin keeps the rows, and the table is not there at all."""
        return self.told() is not None and not exists(self.model)

    def changelist_view(
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """Show the list; where a plugin keeps the rows, say so."""
        if told := self.told():
            if not self.has_view_or_change_permission(request):
                raise PermissionDenied
            text = f"{told[0].upper()}{told[1:]}."
            if not exists(self.model):
                self.message_user(request, text, messages.WARNING)
                return HttpResponseRedirect(reverse(f"{self.admin_site.name}:index"))
            if request.method == "GET":
                text = f"{text} This page shows the data from before the change."
                self.message_user(request, text, messages.WARNING)
        return super().changelist_view(request, extra_context)

    def get_urls(self) -> list[Any]:
        """Return Django's addresses; a page whose tables are missing says what to type."""
        urls = super().get_urls()
        for url in urls:
            if url.callback is not None:
                url.callback = migrated(self, url.callback)
        return urls

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return CarefulList

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list; Django answers ``IncorrectLookupParameters`` with a redirect.

        A database that cannot convert time zones shows no hierarchy of dates: MariaDB
        and MySQL need tables for it, which are not filled by their installation.
        """
        if any("\0" in value for _, all in request.GET.lists() for value in all):
            raise IncorrectLookupParameters("NUL is in no column")
        try:
            found = super().get_changelist_instance(request)
        except _REFUSED as error:
            database = self.get_queryset(request).db
            if not connections[database].is_usable() or migrate_advice(
                error, database, _meta(self.model).app_label
            ):
                raise
            raise IncorrectLookupParameters(error) from error
        if not _converts_zones(found.queryset.db):
            found.date_hierarchy = None
        return found

    def lookup_allowed(
        self, lookup: str, value: Any, request: HttpRequest | None = None
    ) -> bool:
        """Return whether an address may ask for this: columns of the filters, and keys.

        Any other column could be guessed letter by letter, arguments among them.
        """
        column, _, how = lookup.partition("__")
        if not self._is_column(column):
            return True  # Django says that there is no such column
        asked = {"pk", _meta(self.model).pk.name, *self._filters(request)}
        if column in asked:
            return how in _LOOKUPS
        return any(lookup.startswith(f"{path}__") for path in asked if "__" in path)

    def _is_column(self, name: str) -> bool:
        if name == "pk":
            return True
        try:
            _meta(self.model).get_field(name)
        except FieldDoesNotExist:
            return False
        return True

    def _filters(self, request: HttpRequest | None) -> set[str]:
        """Return the columns that this page offers filters for."""
        given = self.list_filter if request is None else self.get_list_filter(request)
        found = {self.date_hierarchy} if self.date_hierarchy else set()
        for one in given:
            if isinstance(one, str):
                found.add(one)
            elif isinstance(one, (list, tuple)):
                found.add(str(one[0]))
            elif name := getattr(one, "parameter_name", None):
                found.add(name)
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search, for a text of a length that a person types."""
        if len(search_term) > MAX_SEARCH or len(search_term.split()) > MAX_WORDS:
            text = (
                f"The search text has {len(search_term):,} characters and"
                f" {len(search_term.split()):,} words; the limits are {MAX_SEARCH} and"
                f" {MAX_WORDS}. Nothing was searched. Shorten the text."
            )
            self.message_user(request, text, messages.ERROR)
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    # -- rows --------------------------------------------------------------------------
    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return the row of a key in an address; None where no row can have it."""
        if self._is_away():
            return None
        if from_field is None and not _is_key(self.model, object_id):
            return None
        return super().get_object(request, object_id, from_field)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *more: Any, **named: Any
    ) -> HttpResponse | None:
        """Run an action, on rows that can be there."""
        for key in request.POST.getlist("_selected_action"):
            if not _is_key(self.model, key):
                self.message_user(
                    request, f"No row has the key {key[:40]!r}.", messages.ERROR
                )
                return None
        return super().response_action(request, queryset, *more, **named)


def migrated(page: QcoreAdmin, view: Callable[..., Any]) -> Callable[..., Any]:
    """Return a view that leads to the first page of the admin where it has no tables."""

    @functools.wraps(view)
    def careful(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(request, *args, **kwargs)
        except (Error, StoreError) as error:
            meta = _meta(page.model)
            database = router.db_for_read(page.model)
            text = migrate_advice(error, database, meta.app_label)
            if not text:
                raise
            page.message_user(request, text, messages.ERROR)
            site = page.admin_site.name
            return HttpResponseRedirect(reverse("admin:index", current_app=site))

    return careful


def _meta(model: type[Model]) -> Any:
    return model._meta  # noqa: SLF001 - Django's public name for it


def _is_key(model: type[Model], text: str) -> bool:
    """Return whether a text can be the primary key of a row."""
    if "\0" in text:
        return False
    try:
        _meta(model).pk.clean(text, None)
    except (ValidationError, ValueError, OverflowError):
        return False
    return True


def _converts_zones(alias: str) -> bool:
    """Return whether a database can tell the day of a moment in the zone of the pages."""
    connection = connections[alias]
    if timezone.get_current_timezone_name() == connection.timezone_name:
        return True  # there is nothing to convert
    return connection.vendor != "mysql" or connection.features.has_zoneinfo_database
