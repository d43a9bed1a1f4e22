"""Passing: which errors say that a database is away, and which that one thing is wrong."""

from __future__ import annotations

from django.db.utils import Error, InterfaceError, OperationalError

from ..errors import StoreError, StoreUnavailable
from ..results.failures import class_of


def is_passing(error: BaseException) -> bool:
    """Whether a database is away, busy or read-only, and not what was asked of it wrong."""
    if isinstance(error, StoreError):
        return isinstance(error, StoreUnavailable)
    if not isinstance(error, Error):
        return False
    if issubclass(class_of(error), StoreUnavailable):
        return True
    # psycopg says no code where it could not connect
    cause = error.__cause__
    has_code = any(getattr(cause, n, None) for n in ("sqlstate", "sqlite_errorname"))
    return isinstance(error, OperationalError | InterfaceError) and not has_code
