"""Rates whose buckets are not in the database: what is drawn, given back, and waited for."""

from __future__ import annotations

import logging

import pytest
from django.db import transaction
from django.test import override_settings
from support.memory_limiter import MemoryLimiter, forget
from support.stepped_claims import Cluster

from qcore import RUN
from qcore.features import Later, Park
from qcore.ledger.clock import Clock
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current
from qcore.tasks import async_task, cancel, status
from qcore_limits import buckets, deciding
from qcore_limits.buckets import AWAY
from qcore_limits.pacing import replan

HOUR = 3600
SETTINGS = {
    "name": "tests",
    "broker_class": "chores.outside.OutsideBroker",
    "limiter": "support.memory_limiter.MemoryLimiter",
    "limits": {
        "paced": {"rate": "1/h"},
        "bursty": {"rate": "1/h", "burst": 3},
        "both": {"concurrency": 1, "rate": "1/10s", "burst": 5},
        "one": {"concurrency": 1},
    },
}


@pytest.fixture
def cluster(transactional_db, monkeypatch):
    monkeypatch.setattr(Clock, "offset", 0.0)
    forget(monkeypatch)
    monkeypatch.setattr(buckets._Outage, "until", 0.0)
    monkeypatch.setattr(buckets._Outage, "is_told", False)
    with override_settings(Q_CLUSTER=SETTINGS):
        current.broker().purge_queue()
        OutboxRow.objects.all().delete()
        yield Cluster()
        current.broker().purge_queue()


def add(limits):
    return async_task("chores.kind.add", 1, q_options={"limits": limits})


def later(seconds, monkeypatch):
    monkeypatch.setattr(Clock, "offset", Clock.offset + seconds)


def asked():
    """Return what the limiter was asked since the last call."""
    found = list(MemoryLimiter.asked)
    MemoryLimiter.asked.clear()
    return found


def test_a_batch_asks_once(cluster, monkeypatch):
    ids = [add("bursty") for _ in range(5)]
    answers = cluster.claim()
    assert [answers[id] is RUN for id in ids] == [True] * 3 + [False] * 2
    assert [answers[id].after for id in ids[3:]] == pytest.approx(
        [HOUR, 2 * HOUR], abs=9
    )
    assert asked() == [("draw", 3)]
    later(HOUR, monkeypatch)
    assert cluster.claim() == {ids[3]: RUN}
    assert asked() == [("draw", 1)]


def test_a_batch_without_rates_asks_nothing(cluster):
    id = add("one")
    assert cluster.claim() == {id: RUN}
    cluster.end(id)
    assert asked() == []


def test_what_has_no_place_gives_its_start_back(cluster):
    ids = [add("both") for _ in range(3)]
    answers = cluster.claim()
    assert [type(answers[id]) for id in ids[1:]] == [Park, Park]
    assert asked() == [("draw", 3), ("give back", 2)]


@pytest.mark.fault("L13")
def test_a_batch_that_is_undone_gives_its_starts_back(cluster, monkeypatch):
    def fail(self):
        raise RuntimeError("the database has refused")

    id = add("bursty")
    with monkeypatch.context() as patched:
        patched.setattr(deciding._Batch, "_write", fail)
        with pytest.raises(RuntimeError, match="has refused"):
            cluster.claim()
    found = asked()
    drawn = sum(count for what, count in found if what == "draw")
    given = sum(count for what, count in found if what == "give back")
    assert drawn == given >= 1
    assert id not in cluster.running


def test_a_start_that_was_not_made_goes_back_with_the_commit(cluster):
    id = add("bursty")
    cluster.claim()
    assert asked() == [("draw", 1)]
    with transaction.atomic():
        cluster.end(id, outcome="", final=False, unstarted=True)
        assert asked() == []
    assert asked() == [("give back", 1)]


@pytest.mark.fault("L13")
def test_tasks_wait_while_the_limiter_is_away_and_none_is_lost(
    cluster, monkeypatch, caplog
):
    MemoryLimiter.is_away = True
    ids = [add("paced") for _ in range(3)]
    other = add("one")
    with caplog.at_level(logging.INFO, "qcore.limits"):
        answers = cluster.claim()
    assert answers[other] is RUN, "a limit without a rate needs no limiter"
    # one by one, at the pace of the limit, and the first not at once
    waits = [answers[id].after for id in ids]
    assert waits == pytest.approx([HOUR, 2 * HOUR, 3 * HOUR])
    assert {type(answers[id]) for id in ids} == {Later}
    assert {status(id) for id in ids} == {"scheduled"}
    (said,) = caplog.messages
    assert "tasks under a rate wait: the limiter at redis://u:***@h:1/0 is away" in said
    assert asked() == [("draw", 0)]
    # within a few seconds it is not asked again, and nothing more is said
    more = add("paced")
    with caplog.at_level(logging.INFO, "qcore.limits"):
        # what has passed between the two batches is not waited for again
        assert 3.5 * HOUR < cluster.claim()[more].after <= 4 * HOUR
    assert (asked(), len(caplog.messages)) == ([], 1)
    # it is there again: each task starts in its turn, at its time
    MemoryLimiter.is_away = False
    monkeypatch.setattr(buckets._Outage, "until", 0.0)
    for id in (*ids, more):
        later(HOUR + 1, monkeypatch)
        with caplog.at_level(logging.INFO, "qcore.limits"):
            assert cluster.claim() == {id: RUN}
        cluster.end(id)
    assert caplog.messages[-1] == "the limiter answers again"
    assert set(Ticket.objects.filter(task_id__in=ids).values_list("starts", flat=True)) == {1}  # fmt: skip


def test_a_fast_rate_does_not_come_again_at_once_while_the_limiter_is_away(cluster):
    MemoryLimiter.is_away = True
    with override_settings(
        Q_CLUSTER=SETTINGS | {"limits": {"fast": {"rate": "100/s"}}}
    ):
        ids = [add("fast") for _ in range(3)]
        waits = [cluster.claim()[id].after for id in ids[:1]]
    assert waits == pytest.approx([AWAY])


def test_a_task_that_waits_for_the_limiter_can_be_cancelled(cluster):
    MemoryLimiter.is_away = True
    id = add("paced")
    cluster.claim()
    cancel(id)
    assert cluster.claim()[id].outcome == "cancelled"


def test_an_end_is_told_while_the_limiter_is_away(cluster):
    id = add("bursty")
    cluster.claim()
    MemoryLimiter.is_away = True
    cluster.end(id, outcome="", final=False, unstarted=True)
    assert asked()[-1] == ("give back", 1)


def test_a_raised_rate_only_looks(cluster):
    ids = [add("paced") for _ in range(4)]
    cluster.claim()
    asked()
    faster = SETTINGS | {"limits": {"paced": {"rate": "1/m"}}}
    with override_settings(Q_CLUSTER=faster):
        assert replan("paced") == len(ids) - 1
        assert asked() == [("draw", 0)]
        MemoryLimiter.is_away = True
        assert replan("paced") == 0, "it would not be sooner"
