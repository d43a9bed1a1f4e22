"""How long a snapshot counts, and where it is found."""

from __future__ import annotations

import msgspec
import pytest
import time_machine
from django.core.cache import cache

from qcore import status
from qcore.brokers.memory import MemoryBroker
from qcore.runtime import current
from qcore.status import MIN_TTL, PAUSE, Snapshot, lifetime, publish, snapshots

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def project(settings):
    broker = "qcore.brokers.memory.MemoryBroker"
    settings.Q_CLUSTER = {"name": "shop", "broker_class": broker}
    MemoryBroker._stats.clear()
    cache.clear()
    yield
    MemoryBroker._stats.clear()
    cache.clear()


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def shared(monkeypatch):
    """Have status go through the cache."""
    monkeypatch.setattr(type(current.cache), "is_shared", True)
    assert status.route() == "cache"


def snapshot(name: str = "a") -> Snapshot:
    words = dict.fromkeys(("name", "queue", "host", "version", "broker"), "shop")
    pids = {"sentinel_pid": 1, "dispatcher_pid": 2}
    return Snapshot(
        cluster=name * 32,
        state="running",
        started=NOW,
        at=NOW,
        workers=[],
        **words,
        **pids,
    )


def seen() -> list[str]:
    return [found.cluster[0] for found in snapshots()]


@pytest.mark.parametrize(
    ("cycle", "pause", "seconds"),
    [
        (0.5, None, MIN_TTL),
        (0.5, 0.5, MIN_TTL),
        (0.5, PAUSE, MIN_TTL + PAUSE - 0.5),
        (10, None, 40),
        (10, 10, 40),  # a pause is never shorter than the cycle
    ],
)
def test_a_snapshot_counts_until_the_next_one_is_late(settings, cycle, pause, seconds):
    settings.Q_CLUSTER |= {"guard_cycle": cycle}
    assert lifetime(pause) == seconds


@pytest.mark.parametrize("pause", [None, PAUSE])
def test_a_broker_is_told_how_long_a_snapshot_counts(monkeypatch, pause):
    told = []
    monkeypatch.setattr(
        MemoryBroker, "set_stat", lambda self, *given: told.append(given)
    )
    publish(snapshot(), pause)
    ((key, value, ttl),) = told
    assert (key, ttl) == (f"qcore:shop:status:{'a' * 32}", lifetime(pause))
    assert msgspec.json.decode(value)["cluster"] == "a" * 32


@pytest.mark.parametrize("pause", [None, PAUSE])
def test_a_cluster_that_says_nothing_more_is_gone(clock, shared, pause):
    publish(snapshot(), pause)
    clock.shift(lifetime(pause) - 0.5)
    assert seen() == ["a"], "it may be idle"
    clock.shift(2)  # caches count whole seconds
    assert seen() == []


def test_a_cluster_that_another_one_overwrites_is_found(clock, shared, monkeypatch):
    """Both read the index, both write it; the later one has not seen the news of the other."""
    publish(snapshot("a"), PAUSE)
    publish(snapshot("b"), PAUSE)
    before = cache_of_index()
    clock.shift(PAUSE)
    publish(snapshot("a"), PAUSE)
    monkeypatch.setattr(status, "_enlisted", lambda: msgspec.json.decode(before))
    publish(snapshot("b"), PAUSE)
    monkeypatch.undo()
    monkeypatch.setattr(type(current.cache), "is_shared", True)
    clock.shift(PAUSE)
    assert sorted(seen()) == ["a", "b"]


def cache_of_index() -> bytes:
    value = status._cache().get(status._index_key())
    assert value is not None
    return value
