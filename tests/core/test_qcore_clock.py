"""The clock for the tests of a project: delays, retries, schedules and expiry."""

from __future__ import annotations

import datetime as dt

import pytest
from chores import kind
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from qcore import Backoff, Retry, Snooze
from qcore.clock import Clock
from qcore.tasks import async_task, fetch, queue_size, schedule
from qcore.testing.advance import QcoreClock
from qcore.testing.drain import Counts, drain
from qcore.testing.fixtures import qcore_clock

__all__ = ["qcore_clock"]

pytestmark = pytest.mark.django_db

NOTHING = Counts()


@pytest.fixture
def seen(monkeypatch):
    """When the calls of ``call_called`` were, in hours since the test began."""
    moments = []
    began = timezone.now()

    def note():
        moments.append(round((timezone.now() - began).total_seconds() / 3600, 2))

    monkeypatch.setattr(kind, "called", note)
    return moments


def test_delays_run_in_their_order(qcore_queue, qcore_clock, seen):
    async_task("chores.kind.call_called", delay=dt.timedelta(hours=5))
    async_task(kind.call_called, run_after=timezone.now() + dt.timedelta(hours=2))
    async_task("chores.kind.call_called")
    assert qcore_clock.advance(hours=1) == Counts(succeeded=1)
    assert qcore_clock.advance(days=14) == Counts(succeeded=2)
    assert seen == [0, 2, 5]
    assert qcore_clock.advance(days=14) == NOTHING


def test_what_a_task_sends_is_run_at_its_time(
    qcore_queue, qcore_clock, seen, monkeypatch
):
    note = kind.called

    def again():
        note()
        if len(seen) < 3:
            async_task("chores.kind.call_called", delay=3600)

    monkeypatch.setattr(kind, "called", again)
    async_task("chores.kind.call_called", delay=3600)
    qcore_clock.advance(hours=10)
    assert seen == [1, 2, 3]


def test_what_expires_does_not_run(qcore_queue, qcore_clock, seen):
    late = async_task(kind.call_called, expires=60)
    qcore_clock.advance(seconds=0)
    assert len(seen) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clock, "offset", Clock.offset)
        late = async_task(kind.call_called, expires=60)
        Clock.offset += 61  # nothing has run it meanwhile
        assert qcore_clock.advance(seconds=1) == Counts(expired=1)
    assert fetch(late).outcome == "expired"
    assert len(seen) == 1


def test_failures_come_again_after_their_lease(
    qcore_queue, qcore_clock, seen, monkeypatch
):
    note = kind.called

    def fail():
        note()
        raise ValueError("not yet")

    monkeypatch.setattr(kind, "called", fail)
    own = settings.Q_CLUSTER | {"retry": 7200, "timeout": 60}
    with override_settings(Q_CLUSTER=own):
        task_id = async_task("chores.kind.call_called", max_attempts=3)
        with pytest.raises(ValueError, match="not yet"):
            qcore_clock.advance(days=1)
        assert seen == [0, 2, 4]
        record = fetch(task_id)
        assert (record.success, record.attempt_count) == (False, 3)
        assert qcore_clock.advance(days=1, raises=False) == NOTHING
        assert queue_size() == 0


@pytest.mark.parametrize("broker", ["memory", "orm"])
def test_retries_come_after_their_own_backoff(
    qcore_queue, qcore_clock, seen, monkeypatch, broker
):
    note = kind.called

    def fail():
        note()
        raise ValueError("not yet")

    monkeypatch.setattr(kind, "called", fail)
    own = settings.Q_CLUSTER | {"retry": 60, "timeout": 30}
    if broker == "orm":
        own |= {"orm": "default", "broker_class": None}
    with override_settings(Q_CLUSTER=own):
        policy = Backoff(3600, factor=2, cap=86400)
        task_id = async_task(
            "chores.kind.call_called", q_options={"max_attempts": 4, "backoff": policy}
        )
        assert qcore_clock.advance(hours=6) == Counts(failed=3)
        assert seen == [0, 1, 3]
        with pytest.raises(ValueError, match="not yet"):
            qcore_clock.advance(days=1)
        assert seen == [0, 1, 3, 7], "each waits twice as long as the one before"
        assert fetch(task_id).attempt_count == 4
        assert queue_size() == 0


def test_a_task_asks_to_be_tried_again_at_its_own_time(
    qcore_queue, qcore_clock, seen, monkeypatch
):
    note = kind.called

    def later():
        note()
        if len(seen) == 1:
            raise Retry("the shop is closed", after=5 * 3600)

    monkeypatch.setattr(kind, "called", later)
    async_task("chores.kind.call_called", q_options={"max_attempts": 3})
    qcore_clock.advance(hours=4)
    assert seen == [0]
    assert qcore_clock.advance(days=1) == Counts(succeeded=1)
    assert seen == [0, 5]


def test_a_task_that_snoozes_comes_again_and_uses_no_attempt(
    qcore_queue, qcore_clock, seen, monkeypatch
):
    note = kind.called

    def snooze():
        note()
        if len(seen) < 4:
            raise Snooze(after=3600)

    monkeypatch.setattr(kind, "called", snooze)
    task_id = async_task("chores.kind.call_called", q_options={"max_attempts": 1})
    assert drain() == Counts(put_off=1)
    assert qcore_clock.advance(hours=2.5) == Counts(put_off=2)
    assert qcore_clock.advance(days=1) == Counts(succeeded=1)
    assert seen == [0, 1, 2, 3]
    assert fetch(task_id).attempt_count == 1


def test_a_task_that_snoozes_for_no_time_is_left_by_a_drain(
    qcore_queue, db, monkeypatch
):
    def snooze():
        raise Snooze(after=0)

    monkeypatch.setattr(kind, "called", snooze)
    async_task("chores.kind.call_called")
    for _ in range(2):
        assert drain() == Counts(put_off=1)
        assert queue_size() == 1
    # a failure of another task leaves it, too
    async_task("chores.kind.fail")
    with pytest.raises(ValueError, match="as it was told"):
        drain()
    assert queue_size() == 1


def test_schedules_fire(qcore_queue, qcore_clock, seen):
    schedule("chores.kind.call_called", schedule_type="H", next_run=timezone.now())
    counts = qcore_clock.advance(hours=3, minutes=30)
    assert counts == Counts(succeeded=4)
    assert seen == [0, 1, 2, 3]


def test_an_endless_failure_is_told(qcore_queue, qcore_clock, monkeypatch):
    monkeypatch.setattr("qcore.testing.advance.MOST", 20)

    def fail():
        raise ValueError("never")

    monkeypatch.setattr(kind, "called", fail)
    async_task("chores.kind.call_called", max_attempts=0)
    with pytest.raises(AssertionError, match="Give it max_attempts"):
        qcore_clock.advance(days=14)


def test_the_true_time_comes_back():
    true = timezone.now
    with QcoreClock() as clock:
        clock.advance(days=400)
        ahead = clock.now - dt.datetime.now(dt.UTC)
        assert ahead.days in (399, 400)
        assert (timezone.now() - true()).days in (399, 400)
        with pytest.raises(ValueError, match="cannot go back"):
            clock.advance(days=-1)
    assert timezone.now is true
    assert Clock.offset == 0


@override_settings(Q_CLUSTER={"orm": "default", "name": "tests"})
def test_the_orm_broker_follows(qcore_clock, seen):
    async_task("chores.kind.call_called", delay=dt.timedelta(days=3))
    assert qcore_clock.advance(days=2) == NOTHING
    assert qcore_clock.advance(days=2) == Counts(succeeded=1)
    assert seen == [72]
