"""What an error of a database means: it will pass, it never will, or who knows.

It is decided by classes and codes where they tell. Where they do not, ``StoreError`` says
so, and the recorder finds out: MariaDB answers a statement that is too large with 2006,
"server has gone away", as it does when the server has.
"""

from __future__ import annotations

from ..errors import StoreError, StoreRefused, StoreUnavailable

#: Beginnings of SQLSTATE, PostgreSQL: connection, resources, shutdown, lock, read-only,
#: rights, tables that are missing until somebody runs migrate.
_PG_PASSING = (
    *("08", "28", "3D", "40", "42501", "42P01", "42703"),
    *("53", "55", "57P", "25006", "58"),
)
#: ... and: data, integrity, cardinality, a limit of the program.
_PG_LASTING = ("21", "22", "23", "54")

#: MySQL and MariaDB: disk or table full, read-only, connections, rights, tables, locks.
_MYSQL_PASSING = frozenset(
    {
        *(1020, 1021, 1036, 1037, 1040, 1041, 1044, 1045, 1053, 1054, 1114, 1129),
        *(1142, 1143, 1146, 1203, 1205, 1206, 1213, 1226, 1290, 1792, 1836),
        *(2002, 2003, 2005),
    }
)
#: ... and: too large, too long, out of range, not of the column's character set.
_MYSQL_LASTING = frozenset(
    {
        *(1048, 1118, 1153, 1264, 1267, 1292, 1300, 1301, 1366, 1406, 3140, 3988),
    }
)

_SQLITE_PASSING = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_FULL"),
    *("SQLITE_CANTOPEN", "SQLITE_NOMEM", "SQLITE_PERM", "SQLITE_CORRUPT"),
    *("SQLITE_NOTADB", "SQLITE_PROTOCOL", "SQLITE_AUTH", "SQLITE_INTERRUPT"),
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
        if code in _MYSQL_PASSING:
            return StoreUnavailable
        return StoreRefused if code in _MYSQL_LASTING else _by_class(error)
    # psycopg says sqlstate, psycopg2 says pgcode
    if state := getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None):
        return _by_prefix(str(state), _PG_PASSING, _PG_LASTING)
    if name := getattr(cause, "sqlite_errorname", None):
        if name == _SQLITE_TRIGGER:
            return StoreError
        if name == "SQLITE_ERROR" and str(cause).startswith("no such table"):
            return StoreUnavailable
        return _by_prefix(str(name), _SQLITE_PASSING, _SQLITE_LASTING)
    return _by_class(error)


def _by_prefix(
    word: str, passing: tuple[str, ...], lasting: tuple[str, ...]
) -> type[StoreError]:
    if word.startswith(passing):
        return StoreUnavailable
    return StoreRefused if word.startswith(lasting) else StoreError


def _by_class(error: BaseException) -> type[StoreError]:
    if type(error).__name__ in _LASTING:
        return StoreRefused
    if isinstance(error, TypeError | ValueError | OverflowError):
        return StoreRefused
    return StoreError
