"""What an error of a database means for the one who called the broker."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.db import InterfaceError, InternalError, OperationalError

from qcore.errors import BrokerError, BrokerUnavailable
from qcore.masking import mask_url

if TYPE_CHECKING:
    from django.db.utils import Error

    from .statements import Statements

#: Seconds for which a statement that meets a lock or a deadlock is tried again. A
#: try on SQLite lasts as long as the `timeout` in the OPTIONS of the database.
PATIENCE = 20.0


def pauses() -> Iterator[float]:
    """Yield the seconds between tries: 5 ms to 250 ms, and never in step with others."""
    longest = 0.01
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        longest = min(0.25, longest * 2)


def cause(error: Error) -> BaseException:
    """Return the driver's own error, which Django wraps."""
    return error.__cause__ or error


def translate(error: Error, statements: Statements) -> BrokerError:
    """Return the error of the contract that stands for a database's."""
    alias = statements.connection.alias
    if statements.is_unmigrated(cause(error)):
        return BrokerError(
            f"the tables of the queue are missing or old in the database {alias!r}."
            f" Run: python manage.py migrate --database={alias}"
        )
    text = " ".join(mask_url(str(error)).split()).rstrip(".")
    message = f"the database {alias!r} failed: {text}. Check DATABASES and its server."
    # InternalError: PostgreSQL is read-only, as a standby is until it takes over.
    if isinstance(error, OperationalError | InterfaceError | InternalError):
        return BrokerUnavailable(message)
    return BrokerError(message)
