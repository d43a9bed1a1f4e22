"""Fixtures for the tests of a project, with pytest and pytest-django; opt in to them.

Name this module in the conftest.py at the root of the project::

    pytest_plugins = ["qcore.testing.fixtures"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..runtime import current
from . import drain as tools
from .advance import QcoreClock
from .cluster import LiveCluster


class MemoryQueue:
    """The queue of one test; with the functions of ``qcore.testing.drain``."""

    drain = staticmethod(tools.drain)
    perform = staticmethod(tools.perform)
    enqueued = staticmethod(tools.enqueued)
    assert_enqueued = staticmethod(tools.assert_enqueued)


def _with(**options: Any) -> Any:
    from django.conf import settings
    from django.test import override_settings

    return override_settings(Q_CLUSTER=getattr(settings, "Q_CLUSTER", {}) | options)


@pytest.fixture
def qcore_queue() -> Iterator[MemoryQueue]:
    """A queue in memory, empty at first: tasks wait in it until the test says so.

    Tasks are sent at once, for a test's transaction never commits. ``drain`` stores
    results, so it needs the fixture ``db``.
    """
    memory = "qcore.brokers.memory.MemoryBroker"
    with _with(broker_class=memory, commit="now", sync=False):
        current.broker().purge_queue()
        yield MemoryQueue()
        current.broker().purge_queue()


@pytest.fixture
def qcore_clock(db: None) -> Iterator[QcoreClock]:
    """Let time pass for tasks: ``qcore_clock.advance(days=14)`` runs what falls due."""
    with QcoreClock() as clock:
        yield clock


@pytest.fixture
def qcore_inline() -> Iterator[None]:
    """Run every task in its caller, at once; needs the fixture ``db`` for results."""
    with _with(sync=True):
        yield


@pytest.fixture
def qcore_live(request: pytest.FixtureRequest) -> Iterator[Callable[..., LiveCluster]]:
    """Start real clusters: ``qcore_live(workers=2)``; each ends with the test.

    It brings ``transactional_db``: other processes see only what is committed, and the
    database must not be in memory.
    """
    request.getfixturevalue("transactional_db")
    started: list[LiveCluster] = []

    def start(**options: Any) -> LiveCluster:
        started.append(LiveCluster(**options))
        started[-1].start()
        return started[-1]

    yield start
    for cluster in started:
        cluster.close()
