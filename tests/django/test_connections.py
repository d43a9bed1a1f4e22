"""What a long-lived process asks of its database connections."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from django.db.backends.signals import connection_created

from qcore import connections

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

    def opened(name):
        connection = SimpleNamespace(
            alias=name, in_atomic_block=False, connection=None, errors_occurred=False,
            health_check_done=True, queries_log=[name],
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
