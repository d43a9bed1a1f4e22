"""A project whose tables have a prefix: every statement of ours finds its table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qcore_orm")

HERE = Path(__file__).parents[1]

SCRIPT = """
import chores.prefixed
import django
django.setup()
from django.core.management import call_command
from django.db import connection
call_command("migrate", verbosity=0)
names = connection.introspection.table_names()
assert names and all(name.startswith("shop_") for name in names), names
from qcore.runtime import current
from qcore.doctor.tables import faults
from qcore.tasks import async_iter, async_task, fetch, result, schedule
from qcore.testing.drain import drain
assert list(faults()) == []
first = async_task("chores.kind.add", 1, 2)
failing = async_task("chores.kind.fail")
rows = async_iter("chores.kind.add", [1, (2, 3)])
assert current.broker().queue_size() == 4
drain(raises=False)
assert result(first) == 3 and result(rows) == [1, 5]
assert fetch(failing).success is False
schedule("chores.kind.add", 5)
current.scheduler.tick()
assert drain().succeeded == 1
current.store().quarantine("q", b"x", "BadPackage", "no package")
current.broker().set_stat("k", b"v", 60)
assert current.broker().get_stats("k") == [b"v"]
print("all found")
"""


@pytest.mark.live
@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"])
def test_tables_with_a_prefix(database, tmp_path, request):
    own = {"QCORE_TEST_DB": database, "DJANGO_SETTINGS_MODULE": "settings"}
    if database == "sqlite":
        own["QCORE_TEST_DB_NAME"] = str(tmp_path / "db.sqlite3")
    else:
        server = request.getfixturevalue(f"{database}_server")
        own["QCORE_TEST_DB_PORT"] = str(server.port)
        own["QCORE_TEST_DB_NAME"] = server_database(database, server)
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | own | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "all found\n", run.stderr[-3000:]


def server_database(kind: str, server) -> str:
    """Make an empty database on a server of the tests, and return its name."""
    if kind == "postgres":
        import psycopg

        options = {"host": "127.0.0.1", "port": server.port, "user": "postgres"}
        with psycopg.connect(**options, dbname="postgres", autocommit=True) as own:
            own.execute("DROP DATABASE IF EXISTS prefixed")
            own.execute("CREATE DATABASE prefixed")
    else:
        import pymysql

        with pymysql.connect(host="127.0.0.1", port=server.port, user="root") as own:
            cursor = own.cursor()
            cursor.execute("DROP DATABASE IF EXISTS prefixed")
            cursor.execute("CREATE DATABASE prefixed CHARACTER SET utf8mb4")
    return "prefixed"
