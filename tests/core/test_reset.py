"""Settings that change: each thread closes the brokers that it forgets."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from qcore.brokers.memory import MemoryBroker
from qcore.runtime import current

SETTINGS = {"name": "tests", "broker_class": f"{__name__}.Noting"}


class Noting(MemoryBroker):
    """Notes which brokers were closed."""

    closed: ClassVar[list[MemoryBroker]] = []

    def close(self):
        super().close()
        self.closed.append(self)


class OfADatabase(Noting):
    database = "default"


class Broken(Noting):
    def close(self):
        super().close()
        raise OSError("redis://u:secret@host: the connection is broken")


@pytest.fixture(autouse=True)
def closed(settings):
    Noting.closed.clear()
    settings.Q_CLUSTER = SETTINGS
    yield Noting.closed
    current.reset()


def of(settings, name):
    settings.Q_CLUSTER = {**SETTINGS, "broker_class": f"{__name__}.{name}"}
    return current.broker()


def test_a_change_of_settings_closes_the_brokers_of_this_thread(settings, closed):
    brokers = [current.broker(), current.broker("other")]
    settings.Q_CLUSTER = {**SETTINGS, "timeout": 5}
    assert closed == brokers
    assert current.broker() not in brokers


def test_another_thread_closes_its_own_when_it_comes_back(settings, closed):
    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(current.broker).result()
        current.reset()
        assert closed == []  # it may be using it
        assert pool.submit(current.broker).result() is not old
    assert closed == [old]


def test_the_connection_of_a_database_stays(settings, closed):
    """It is that of Django: a transaction of the caller may be open on it."""
    of(settings, "OfADatabase")
    current.reset()
    assert closed == []


def test_a_connection_that_is_broken_counts_as_closed(settings, closed, caplog):
    old = of(settings, "Broken")
    current.reset()
    assert closed == [old]
    assert "Broken is not closed" in caplog.text
    assert "secret" not in caplog.text
    assert current.broker() is not old


def test_a_fork_closes_nothing_of_its_parent(closed):
    current.broker()
    _, generation = current._local.mark
    current._local.mark = (os.getppid(), generation)  # as in a child that was forked
    current.broker()
    assert closed == []
