"""Errors of a database: passing, permanent or unclear.

It is decided by classes and codes where they tell. Where they do not, ``StoreError`` says
so, and the recorder finds out: MariaDB answers a statement that is too large with 2006,
"server has gone away", as it does when the server has.
"""

from __future__ import annotations

from ..errors import StoreBusy, StoreError, StoreRefused, StoreUnavailable

#: SQLSTATE, PostgreSQL: a lock, a deadlock or a conflict, and the time limits of a
#: statement. They say of themselves that they pass, however often they are said.
_PG_BUSY = ("40001", "40P01", "55P03", "57014")
#: Beginnings of SQLSTATE, PostgreSQL: connection, resources, shutdown, lock, read-only,
#: rights, tables that are missing until somebody runs migrate.
_PG_PASSING = (
    *("08", "28", "3D", "40", "42501", "42P01", "42703"),
    *("53", "55", "57", "25006", "25P03", "25P04", "58"),
)
#: ... and: data, integrity, cardinality, a limit of the program.
_PG_LASTING = ("21", "22", "23", "54")

#: MySQL and MariaDB: locks, deadlocks and conflicts, and the time limits of a statement.
_MYSQL_BUSY = frozenset({1020, 1205, 1213, 1317, 1969, 3024, 3572})
#: ... and: disk or table full, read-only, connections, rights, tables, a cluster's state.
_MYSQL_PASSING = frozenset(
    {
        *(1021, 1036, 1037, 1040, 1041, 1044, 1045, 1047, 1053, 1054, 1114, 1129),
        *(1142, 1143, 1146, 1203, 1206, 1226, 1290, 1792, 1836, 1927),
        *(2002, 2003, 2005),
    }
)
#: ... and: too large, too long, out of range, not of the column's character set.
_MYSQL_LASTING = frozenset(
    {
        *(1048, 1118, 1153, 1264, 1267, 1292, 1300, 1301, 1366, 1406, 3140, 3988),
    }
)

_SQLITE_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT")
_SQLITE_PASSING = (
    *("SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CANTOPEN"),
    *("SQLITE_NOMEM", "SQLITE_PERM", "SQLITE_CORRUPT", "SQLITE_NOTADB"),
    *("SQLITE_PROTOCOL", "SQLITE_AUTH"),
)
_SQLITE_LASTING = ("SQLITE_TOOBIG", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")
#: Who has made a trigger may have meant one result, or all of them for a while.
_SQLITE_TRIGGER = "SQLITE_CONSTRAINT_TRIGGER"

#: Django's classes of errors that are about the values.
_LASTING = frozenset({"DataError", "IntegrityError"})


def class_of(error: BaseException) -> type[StoreError]:
    """Return the error of the contract that stands for a database's.

    Args:
        error: Django's, with the driver's as its cause; or whatever a driver raises
            while it turns values into a statement, as ``OverflowError``.
    """
    cause = error.__cause__ or error
    code = error.args[0] if error.args else None
    if isinstance(code, int):
        # first: PyMySQL says a SQLSTATE, too, "08S01" of a packet that is too large
        if code in _MYSQL_BUSY:
            return StoreBusy
        if code in _MYSQL_PASSING:
            return StoreUnavailable
        return StoreRefused if code in _MYSQL_LASTING else _by_class(error)
    # psycopg says sqlstate, psycopg2 says pgcode
    if state := getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None):
        return _by_prefix(str(state), _PG_BUSY, _PG_PASSING, _PG_LASTING)
    if name := getattr(cause, "sqlite_errorname", None):
        if name == _SQLITE_TRIGGER:
            return StoreError
        if name == "SQLITE_ERROR" and str(cause).startswith("no such table"):
            return StoreUnavailable
        return _by_prefix(str(name), _SQLITE_BUSY, _SQLITE_PASSING, _SQLITE_LASTING)
    return _by_class(error)


def _by_prefix(
    word: str,
    busy: tuple[str, ...],
    passing: tuple[str, ...],
    lasting: tuple[str, ...],
) -> type[StoreError]:
    if word.startswith(busy):
        return StoreBusy
    if word.startswith(passing):
        return StoreUnavailable
    return StoreRefused if word.startswith(lasting) else StoreError


def _by_class(error: BaseException) -> type[StoreError]:
    if type(error).__name__ in _LASTING:
        return StoreRefused
    if isinstance(error, TypeError | ValueError | OverflowError):
        return StoreRefused
    return StoreError
