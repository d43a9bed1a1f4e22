"""Changed columns: a row remembers what was read, and a save writes what was changed.

Others write some columns meanwhile. What they have written stays, unless somebody has
changed it here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.db import models


class ChangedColumns(models.Model):
    """A row of a table in which others write, too."""

    #: The columns that are remembered as they were read.
    _watched: ClassVar[frozenset[str]]
    #: Those of them that others write.
    _shared: ClassVar[frozenset[str]]

    _seen: dict[str, Any]  # columns as they were read; empty for a new one

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._seen = {}
        super().__init__(*args, **kwargs)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an object of a row, and remember what the row has said."""
        row = super().from_db(*args, **kwargs)
        row._remember()  # noqa: SLF001 - its own class
        return row

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any, Any] | None = None,
    ) -> None:
        """Read the row again, or some of its columns."""
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self._remember(names)

    def _remember(self, fields: Iterable[str] | None = None) -> None:
        names = self._watched if fields is None else self._watched & set(fields)
        own = self.__dict__
        self._seen |= {name: own[name] for name in names if name in own}

    def _changed(self) -> set[str] | None:
        """Return the columns to write: not those that others write and nobody changed.

        None means all: it was not read, but made.
        """
        own = self.__dict__
        if not self._seen or self._state.adding or own.get("id") is None:
            return None
        stored = {
            field.attname
            for field in self._meta.concrete_fields
            if not field.primary_key and field.attname in own
        }
        return stored - {
            name
            for name in self._shared
            if name in self._seen and self._seen[name] == own.get(name)
        }

    def _is_gone(self, using: str | None) -> bool:
        rows = type(self)._base_manager.using(using or self._state.db)  # noqa: SLF001 - Django's way
        return not rows.filter(pk=self.pk).exists()
