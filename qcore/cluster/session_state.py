"""Which statements change the session of a database, and not what is in it.

A session outlives a task: ``SET search_path`` of one tenant would hold for the task of the
next one, and an advisory lock would never be let go. Only text is looked at, so what a
function of the database does inside is not seen, nor what goes past Django's cursor.
"""

from __future__ import annotations

import functools
from typing import Any

#: How a statement begins that does, on PostgreSQL, MariaDB, MySQL or SQLite.
_BEGINNINGS = (
    "set ",
    "reset ",
    "discard ",
    "listen ",
    "prepare ",
    "load ",
    "create temp",
    "create local temp",
    "create global temp",
    "declare ",
    "lock table",
    "use ",
    "attach ",
    "detach ",
    "pragma ",
)
#: Those of them that do not: they hold for a transaction.
_HARMLESS = ("set local ", "set transaction ", "set constraints ")
#: What a statement calls that changes its session.
_CALLS = (
    "set_config(",
    "advisory_lock",  # the session's; the transaction's is advisory_xact_lock
    "get_lock(",
    "dblink_connect",
    "into temp",
    ":=",  # a variable of MySQL's
)
#: Characters of a statement that tell how it begins.
_HEAD = 120
#: Characters of a statement whose answer is remembered.
_SHORT = 2000


def changes_session(sql: Any) -> bool:
    """Return whether a statement, or one of several, changes the session.

    It is asked for each statement of a task. In doubt it says yes; then the next task
    connects anew.

    Args:
        sql: text, or what the driver composes of parts.
    """
    if not isinstance(sql, str):
        return _composed(repr(sql).lower())
    # the same few statements come again and again; long ones are not worth their memory
    return _known(sql) if len(sql) < _SHORT else _looked_at(sql)


def _looked_at(sql: str) -> bool:
    text = sql.lower()
    if any(call in text for call in _CALLS):
        return True
    if ";" in text:
        return any(_begins_so(part) for part in text.split(";"))
    return _begins_so(text)


_known = functools.lru_cache(maxsize=512)(_looked_at)


def _begins_so(text: str) -> bool:
    text = text.lstrip()
    while text.startswith(("/*", "--")):  # what tools write before a statement
        end = "*/" if text.startswith("/*") else "\n"
        text = text.partition(end)[2].lstrip()
    head = " ".join(text[:_HEAD].split())
    if not head.startswith(_BEGINNINGS) or head.startswith(_HARMLESS):
        return False
    # without it a pragma only asks
    return "=" in text or not head.startswith("pragma ")


def _composed(text: str) -> bool:
    """Return it for the parts of psycopg's ``sql.Composed``, given as its ``repr``."""
    if any(call in text for call in _CALLS):
        return True
    return _begins_so(text.partition("sql(")[2].strip("'\""))
