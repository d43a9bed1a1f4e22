"""Columns of text that is kept and compared as it is, in every database.

A MySQL database may have a character set without emoji, and then one such character
in the text of an error would refuse a whole batch of results. Its collations also
take ``Nightly`` and ``nightly`` for one name. So these columns say what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

MYSQL = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


def _exact(type_: str | None, connection: BaseDatabaseWrapper) -> str | None:
    return f"{type_} {MYSQL}" if connection.vendor == "mysql" else type_


class WordField(models.CharField):  # type: ignore[type-arg]
    """A short text."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return _exact(super().db_type(connection), connection)


class BodyField(models.TextField):  # type: ignore[type-arg]
    """A long text."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return _exact(super().db_type(connection), connection)


class IdField(WordField):
    """The id of a task, always looked up whole.

    Where PostgreSQL is told ``varchar``, Django adds an index for LIKE, which takes a
    tenth of the time of storing results (measured) and is of no use to ids.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "postgresql":
            return f"character varying({self.max_length})"
        return super().db_type(connection)
