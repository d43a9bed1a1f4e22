"""What the servers of a soak refuse for good: the results of some of its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

#: Redis closes a connection over which a larger value comes, and says nothing of it there.
REDIS = ("--proto-max-bulk-len", "1mb")


@contextmanager
def refusing() -> Iterator[None]:
    """Let PostgreSQL refuse results that begin as ``chores.mixed.poison`` says.

    By a trigger: its error does not tell whether it will pass.
    """
    _run(
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN"
        " IF NEW.value LIKE '\"poison of%' THEN RAISE EXCEPTION 'refused'; END IF;"
        " RETURN NEW; END $$ LANGUAGE plpgsql"
    )
    _run(
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON qcore_task"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        connection.close()  # the server has been away
        _run("DROP TRIGGER refuse ON qcore_task")
        _run("DROP FUNCTION refuse")


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
