"""When a task may start, and until when: ``run_after``, ``delay`` and ``expires``."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from chores import kind
from django.test import override_settings
from django.utils import timezone

from qcore.brokers.memory import MemoryBroker
from qcore.clock import Clock
from qcore.errors import EnqueueError
from qcore.runtime import current
from qcore.tasks import (
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    fetch,
    queue_size,
)
from qcore.tasks.moments import delay_of, expired
from qcore.testing.drain import Counts, assert_enqueued, drain, enqueued

ADD = kind.add
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def ahead(monkeypatch):
    """Set the clock of this process ahead, and back at the end."""
    return lambda seconds: monkeypatch.setattr(Clock, "offset", float(seconds))


def now():
    return timezone.now()


# -- expires -----------------------------------------------------------------------------
@pytest.mark.parametrize("expires", [90, 90.0, dt.timedelta(seconds=90)])
def test_seconds_count_from_the_call(qcore_queue, expires):
    async_task(ADD, 1, 2, expires=expires)
    (task,) = enqueued()
    assert task.expires == task.created + 90
    assert task.is_bound, "a release that would ignore it does not run it"


def test_a_moment_is_kept(qcore_queue):
    moment = dt.datetime(2040, 5, 6, 7, tzinfo=ZoneInfo("Europe/Paris"))
    async_task(ADD, 1, 2, expires=moment)
    assert enqueued()[0].expires == moment.timestamp()


def test_each_of_many_has_it(qcore_queue):
    async_task_many(ADD, [(1, 2), (3, 4)], expires=60)
    async_iter(ADD, [(1, 2)], expires=60)
    async_chain([(ADD, (1, 2)), (ADD, (3, 4))], expires=60)
    assert [task.expires - task.created for task in enqueued()] == [60] * 4


@pytest.mark.django_db
def test_an_expired_task_is_not_run_and_can_be_read(qcore_queue, ahead):
    task_id = async_task(ADD, 1, 2, expires=60)
    ahead(59)
    assert assert_enqueued(ADD, expires=60, count=1)
    ahead(60)
    assert drain() == Counts(expired=1)
    record = fetch(task_id)
    assert (record.success, record.outcome) == (False, "expired")
    assert record.result.startswith("TaskExpired: it had not started by ")
    assert queue_size() == 0


@pytest.mark.django_db
def test_a_chain_ends_where_a_link_expires(qcore_queue, ahead):
    async_chain([(ADD, (1, 2)), (ADD, (3, 4))], expires=60)
    broker = current.broker()
    (delivery,) = broker.dequeue(1)
    first = current.signer.verify(delivery.package)
    broker.release([delivery.receipt])
    ahead(61)
    assert drain() == Counts(expired=1)
    assert fetch(first.id).outcome == "expired"
    assert queue_size() == 0


def test_a_moment_that_has_passed_expires_at_once(qcore_queue):
    """The caller may be slow; what became of the task can be read all the same."""
    async_task(ADD, 1, 2, expires=now() - HOUR)
    assert expired(enqueued()[0]) is not None


# -- run_after ---------------------------------------------------------------------------
def test_run_after_is_a_delay(qcore_queue):
    async_task(ADD, 1, 2, run_after=HOUR)
    async_task(ADD, 1, 2, run_after=now() + HOUR)
    async_task(ADD, 1, 2, run_after=now() - HOUR)  # it may run
    assert len(MemoryBroker(current.conf).dequeue(10)) == 1
    assert queue_size() == 2


def test_the_delay_of_a_moment_is_what_is_left(ahead):
    moment = now() + HOUR
    assert delay_of({"run_after": moment}) == pytest.approx(3600, abs=60)
    ahead(3000)
    assert delay_of({"run_after": moment}) == pytest.approx(600, abs=60)
    assert delay_of({"run_after": HOUR}) == 3600
    assert delay_of({"delay": 5}) == 5
    assert delay_of({}) == 0


# -- what is refused at the call ----------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"expires": dt.datetime(2040, 1, 1)}, "'expires' is .*a datetime with a time zone.*make_aware"),
        ({"run_after": dt.datetime(2040, 1, 1)}, "'run_after' is .*a datetime with a time zone"),
        ({"expires": dt.date(2040, 1, 1)}, "'expires' is .*expected seconds > 0"),
        ({"expires": 0}, "'expires' is 0 .*expected seconds > 0"),
        ({"expires": -1}, "'expires' is -1 "),
        ({"expires": True}, "'expires' is True"),
        ({"expires": "tomorrow"}, "'expires' is 'tomorrow'"),
        ({"run_after": 30}, "'run_after' is 30 .*Seconds are for 'delay'"),
        ({"run_after": -HOUR}, "'run_after' is "),
        ({"delay": dt.datetime(2040, 1, 1, tzinfo=dt.UTC)}, "A moment is for 'run_after'"),
        ({"delay": 5, "run_after": HOUR}, "'run_after' stands beside 'delay'"),
        ({"delay": 60, "expires": 60}, "'expires' is 60: the task would expire before it may start, for 'delay' is 60"),
        ({"run_after": HOUR, "expires": 60}, "would expire before it may start"),
        ({"run_after": dt.datetime(2040, 1, 2, tzinfo=dt.UTC), "expires": dt.datetime(2040, 1, 1, tzinfo=dt.UTC)}, "would expire before"),
        ({"priority": 101}, "'priority' is 101 .*a whole number from -100 to 100"),
        ({"priority": -101}, "'priority' is -101"),
        ({"priority": 1.5}, "'priority' is 1.5"),
        ({"priority": True}, "'priority' is True"),
        ({"priority": "high"}, "'priority' is 'high'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("many", [False, True])
def test_it_is_told_at_the_call(qcore_queue, options, told, many):
    with pytest.raises(EnqueueError, match=told):
        if many:
            async_task_many(ADD, [(1, 2)], **options)
        else:
            async_task(ADD, 1, 2, q_options=options)
    assert queue_size() == 0


def test_a_function_keeps_its_own_keywords(qcore_queue):
    async_task("chores.kind.takes_anything", expires=1, run_after=2, priority="high")
    (task,) = enqueued()
    assert (task.expires, task.priority) == (None, 0)


# -- priority, as it is sent ---------------------------------------------------------------
def test_a_higher_priority_is_claimed_first(qcore_queue):
    for priority in (0, -100, 7, 100):
        async_task(ADD, priority, 2, priority=priority)
    assert [task.priority for task in enqueued()] == [100, 7, 0, -100]
    assert_enqueued(ADD, priority=7, count=1)


def test_many_are_sent_with_their_priority(qcore_queue):
    async_task(ADD, 1, 2)
    async_task_many(ADD, [(1, 2), (3, 4)], priority=5)
    assert [task.priority for task in enqueued()] == [5, 5, 0]


def test_a_broker_without_priorities_gets_them_all_the_same(qcore_queue, monkeypatch):
    """The package says it, and the cluster that claims it orders what it has."""
    monkeypatch.setattr(MemoryBroker, "supports_priority", False)
    async_task(ADD, 1, 2)
    async_task(ADD, 3, 4, priority=5)
    assert [task.priority for task in enqueued()] == [0, 5]


@override_settings(Q_CLUSTER={"sync": True})
@pytest.mark.django_db
def test_sync_runs_it_now():
    task_id = async_task(ADD, 1, 2, expires=60, priority=5)
    assert fetch(task_id).result == 3
