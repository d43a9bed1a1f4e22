"""Transactions of the ledger's database: rolled back, and counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from ....runtime import current


class Undo(Exception):
    """Rolls a transaction back."""


@contextlib.contextmanager
def rolled_back() -> Iterator[None]:
    """Do something in a transaction of the ledger's database that does not commit."""
    from django.db import transaction

    with (
        contextlib.suppress(Undo),
        transaction.atomic(using=ledger()),
    ):
        yield
        raise Undo


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """Give the list of the statements that the ledger's database gets inside."""
    from django.db import connections

    statements: list[str] = []

    def note(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        statements.append(str(sql))
        return execute(sql, params, many, context)

    with connections[ledger()].execute_wrapper(note):
        yield statements


def ledger() -> str:
    """Return the alias of the ledger's database."""
    found = current.ledger
    if found is None or not found.is_ready:
        pytest.fail(
            "the tests of a feature need the ledger: 'qcore' in INSTALLED_APPS, and its"
            " tables in the database. Mark them with pytest.mark.django_db."
        )
    return found.database
