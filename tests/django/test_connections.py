"""What a long-lived process asks of its database connections."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from django.test import override_settings

from qcore.cluster import connections
from qcore.cluster.session_state import changes_session
from qcore.testing.database import connected

POSTGRES, POSTGIS = (
    "django.db.backends.postgresql",
    "django.contrib.gis.db.backends.postgis",
)


@pytest.mark.parametrize(
    ("lease", "silence"), [(60, 15_000), (10, 5_000), (0.5, 2_000), (1e9, 15_000)]
)
def test_a_silent_host_is_borne_for_half_a_lease(lease, silence):
    options = connections.bounded({}, lease)
    assert options["tcp_user_timeout"] == silence
    assert options["connect_timeout"] == silence / 1000
    probes = options["keepalives_interval"] * options["keepalives_count"]
    assert options["keepalives_idle"] + probes <= silence / 1000 + 1
    assert all(type(value) is int and value > 0 for value in options.values())


def test_what_the_project_says_stands():
    own = {"connect_timeout": 3, "sslmode": "require"}
    found = connections.bounded(own, 60)
    assert found | own == found
    assert found["tcp_user_timeout"] == 15_000
    service = {"service": "shop"}
    assert connections.bounded(service, 60) == service


def test_only_postgresql_is_told(monkeypatch):
    engines = {"a": POSTGRES, "b": POSTGIS, "c": "django.db.backends.sqlite3"}
    settings = {alias: {"ENGINE": one, "OPTIONS": {}} for alias, one in engines.items()}
    settings["a"]["OPTIONS"]["pool"] = True
    monkeypatch.setattr(connections.connections, "settings", settings)
    connections.keep_open(60)
    told = {alias for alias, one in settings.items() if one["OPTIONS"]}
    assert told == {"a", "b"}
    assert "pool" not in settings["a"]["OPTIONS"]
    assert {one["CONN_MAX_AGE"] for one in settings.values()} == {None}


def test_only_connections_that_were_opened_here_are_looked_at():
    """Those of a thread that a task has started are the thread's."""
    tidy = connections.Tidy()

    class Connection(SimpleNamespace):
        """Like a real one, it can be referred to weakly."""

        __hash__ = object.__hash__

    def opened(name):
        connection = Connection(
            alias=name, in_atomic_block=False, connection=None, errors_occurred=False,
            health_check_done=True, queries_log=[name], execute_wrappers=[],
        )  # fmt: skip
        connection_created.send(SimpleNamespace, connection=connection)
        return connection

    ours = opened("ours")
    theirs = []
    thread = threading.Thread(target=lambda: theirs.append(opened("theirs")))
    thread.start()
    thread.join()
    tidy.after(SimpleNamespace(func="shop.tasks.add", id="1"))
    assert (ours.health_check_done, ours.queries_log) == (False, [])
    (other,) = theirs
    assert (other.health_check_done, other.queries_log) == (True, ["theirs"])


# -- what a session keeps ----------------------------------------------------------------
CHANGES = [
    "SET search_path TO tenant, public", "set\n  search_path = x", "  SET SESSION x = 1",
    "/* app='shop' */ SET ROLE admin", "-- why\nSET ROLE admin", "SELECT 1; SET ROLE admin",
    "RESET ALL", "DISCARD ALL", "LISTEN news", "PREPARE p AS SELECT 1",
    "SELECT set_config('search_path', 'x', false)", "SELECT pg_advisory_lock(42)",
    "SELECT pg_try_advisory_lock_shared(42)", "CREATE TEMP TABLE t (n int)",
    "create  temporary table t (n int)", "SELECT * INTO TEMP t FROM shop", "USE tenant",
    "SELECT GET_LOCK('x', 1)", "SELECT @n := 1", "SET @n = 1", "LOCK TABLES t WRITE",
    "PRAGMA foreign_keys = OFF", "ATTACH DATABASE 'x' AS y",
]  # fmt: skip
KEEPS = [
    "SELECT 1", "INSERT INTO settings (reset) VALUES (%s)", "UPDATE shop SET name = %s",
    "SELECT pg_advisory_xact_lock(42)", "SET LOCAL search_path TO x", "set  local x = 1",
    "SET TRANSACTION READ ONLY", "SET CONSTRAINTS ALL IMMEDIATE", "PRAGMA table_info(t)",
    "SAVEPOINT s", "RELEASE SAVEPOINT s", "", ";", "/* open", "SELECT pg_advisory_unlock(42)",
]  # fmt: skip


@pytest.mark.parametrize("sql", CHANGES)
def test_what_changes_a_session(sql):
    assert changes_session(sql)


@pytest.mark.parametrize("sql", KEEPS)
def test_what_leaves_a_session_as_it_is(sql):
    assert not changes_session(sql)


def test_statements_that_psycopg_composes():
    sql = pytest.importorskip("psycopg.sql")
    path = sql.SQL("SET search_path TO {}").format(sql.Identifier("tenant"))
    assert changes_session(path)
    assert changes_session(sql.SQL("SELECT pg_advisory_lock({})").format(1))
    assert not changes_session(
        sql.SQL("SELECT * FROM {}").format(sql.Identifier("set"))
    )


@pytest.fixture
def session(tmp_path, django_db_blocker):
    """A connection of this thread to a file, looked after as in a worker."""
    with django_db_blocker.unblock():
        tidy = connections.Tidy()
        with connected(tmp_path / "db.sqlite3"):
            connection.close()
            yield tidy
            connection.close()
            connection.execute_wrappers.clear()
    connection_created.disconnect(tidy._note)


def ask(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None


@pytest.mark.fault("B30")
def test_what_a_task_sets_in_its_session_ends_with_it(session):
    task = SimpleNamespace(func="shop.tasks.add", id="1")
    before = ask("PRAGMA cache_size")
    same = connection.connection
    session.after(task)
    assert ask("PRAGMA cache_size") == before
    assert connection.connection is same, "nobody else pays for a new one"
    for _ in range(2):
        ask("PRAGMA cache_size = 77")
        assert ask("PRAGMA cache_size") == (77,)
        session.after(task)
        assert connection.connection is None
        assert ask("PRAGMA cache_size") == before
    session.after(task)
    assert connection.connection is not None, "a new session was changed by nobody"
    # the services of another test may watch, too, until they are collected
    assert connection.execute_wrappers.count(session._watch) == 1


# -- statements that DEBUG keeps -------------------------------------------------------------
def test_nothing_is_kept_of_statements_where_no_request_ends(session):
    with override_settings(DEBUG=True):
        ask("SELECT 1")
        assert connection.queries, "Django keeps them"
        connection.close()
        connections.keep_no_statements()
        try:
            for _ in range(3):
                ask("SELECT 2")
                assert not connection.queries_log
        finally:
            connection_created.disconnect(dispatch_uid="qcore statements")
            connection.queries_log = type(connection.queries_log)(maxlen=9000)


def test_a_task_can_look_at_its_own_statements(session):
    with override_settings(DEBUG=True):
        ask("SELECT 1")
        assert len(connection.queries) > 0
        session.after(SimpleNamespace(func="shop.tasks.add", id="1"))
        assert connection.queries == []
