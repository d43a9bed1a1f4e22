"""A database in a file, a ledger, and clusters that tests share.

A cluster is another process, so nothing here is rolled back after a test: each module
has a database of its own, and its tests use keys of their own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chores.ledger import VARIABLE, Ledger
from django.conf import settings

from qcore.testing.cluster import LiveCluster
from qcore.testing.database import connected, migrate

#: Short enough for a test to wait for, long enough for a busy machine.
QUICK = {"workers": 2, "guard_cycle": 0.1, "poll": 0.02, "grace": 0.5, "retry": 20}

Start = Callable[..., LiveCluster]


@pytest.fixture(scope="session")
def _migrated(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object
) -> Path:
    """The path of a database with every table and nothing in them."""
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        pytest.skip("these tests run on SQLite; the faults of servers have their own")
    path = tmp_path_factory.mktemp("database") / "migrated.sqlite3"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        migrate(path)
    return path


@pytest.fixture(scope="module")
def database(
    _migrated: Path, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object
) -> Iterator[Path]:
    """A database file of this module, which this process is connected to."""
    path = tmp_path_factory.mktemp("database") / "live.sqlite3"
    shutil.copy(_migrated, path)
    with django_db_blocker.unblock(), connected(path):  # type: ignore[attr-defined]
        yield path


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """What the tasks of this module's clusters have done."""
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, VARIABLE, str(path))
        yield Ledger(path)


@pytest.fixture(scope="module")
def _start(database: Path, ledger: Ledger) -> Iterator[Start]:
    started: list[LiveCluster] = []

    def start(**options: object) -> LiveCluster:
        cluster = LiveCluster(**(QUICK | options))  # type: ignore[arg-type]
        started.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in started:
        cluster.close()


@pytest.fixture(scope="module")
def cluster(_start: Start) -> LiveCluster:
    """Two workers that every test of the module shares."""
    return _start()


@pytest.fixture
def start(_start: Start) -> Iterator[Start]:
    """Start a cluster of this test's own, on a queue that the test should name."""
    own: list[LiveCluster] = []

    def start(**options: object) -> LiveCluster:
        own.append(_start(**options))
        return own[-1]

    yield start
    for cluster in own:
        cluster.close()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """What this test's entries in the ledger, and its groups, go by."""
    return request.node.name
