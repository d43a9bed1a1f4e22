"""The kit for the tests of a project: drain, perform, assert_enqueued, fixtures."""

from __future__ import annotations

import datetime as dt

import pytest
from chores import kind
from chores.ledger import VARIABLE, Ledger
from chores.outside import OutsideBroker
from django.conf import settings
from django.db import connection
from django.test import TestCase, override_settings
from django.utils import timezone

from qcore import Backoff
from qcore.brokers.banded import BandedBroker
from qcore.brokers.base import Broker
from qcore.brokers.memory import MemoryBroker
from qcore.errors import BadPackage, ConfigError, EnqueueError, Unsupported
from qcore.runtime import current
from qcore.tasks import (
    async_chain,
    async_task,
    cancel,
    fetch,
    queue_size,
    resend,
    result,
    result_group,
)
from qcore.testing import drain as module
from qcore.testing import waiting
from qcore.testing.cluster import LiveCluster
from qcore.testing.drain import Counts, assert_enqueued, drain, enqueued, perform
from qcore.testing.settings import literal


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    path = tmp_path / "ledger"
    monkeypatch.setenv(VARIABLE, str(path))
    return Ledger(path)


# -- drain -----------------------------------------------------------------------------
@pytest.mark.django_db
class TestDrain:
    def test_everything_runs(self, qcore_queue, ledger):
        ids = [async_task("chores.kind.record", "key", n) for n in range(3)]
        assert drain() == Counts(succeeded=3)
        assert [result(id) for id in ids] == [0, 1, 2]
        assert len(ledger.entries("key")) == 3
        assert queue_size() == 0

    def test_hooks_and_chains_too(self, qcore_queue, ledger):
        group = async_chain(
            [("chores.kind.add", (1,)), ("chores.kind.add", (2,))],
            hook="chores.kind.hook",
        )
        assert drain() == Counts(succeeded=2)
        assert result_group(group) == [1, 2]
        assert len(ledger.entries(group)) == 2

    def test_a_task_that_was_cancelled_does_not_run(self, qcore_queue, ledger):
        first, second = (async_task("chores.kind.record", "key", n) for n in (1, 2))
        assert cancel(first) == {first: "waiting"}
        assert drain(raises=False) == Counts(succeeded=1, cancelled=1)
        assert fetch(first).outcome == "cancelled"
        assert result(second) == 2
        assert len(ledger.entries("key")) == 1

    def test_one_that_was_sent_again_after_that_runs(self, qcore_queue):
        task_id = async_task("chores.kind.add", 1)
        cancel(task_id)
        drain()
        resend(task_id)
        assert drain() == Counts(succeeded=1)

    def test_what_a_task_enqueues_runs_too(self, qcore_queue):
        async_task("chores.kind.send_another", 1)
        assert drain() == Counts(succeeded=2)

    def test_a_failure_is_raised_with_the_rest_still_queued(self, qcore_queue):
        failed = async_task("chores.kind.fail", "too bad")
        async_task("chores.kind.add", 1)
        with pytest.raises(ValueError, match="too bad"):
            drain()
        assert not fetch(failed).success
        assert queue_size() == 1

    def test_or_counted(self, qcore_queue):
        async_task("chores.kind.fail")
        async_task("chores.kind.add", 1)
        assert drain(raises=False) == Counts(succeeded=1, failed=1)
        assert queue_size() == 0

    def test_a_package_of_somebody_else(self, qcore_queue):
        current.broker().enqueue(b"not ours")
        with pytest.raises(BadPackage):
            drain()
        current.broker().enqueue(b"not ours")
        assert drain(raises=False) == Counts(refused=1)

    def test_what_never_ends(self, qcore_queue, monkeypatch):
        monkeypatch.setattr(module, "MOST", 5)
        for _ in range(6):
            async_task("chores.kind.add", 1)
        with pytest.raises(AssertionError, match="5 tasks have run and queue 'tests'"):
            drain()

    def test_another_queue(self, qcore_queue):
        async_task("chores.kind.add", 1, cluster="heavy")
        assert drain() == Counts()
        assert drain("heavy") == Counts(succeeded=1)

    def test_the_broker_of_the_project(self, db):
        """The ORM's, in the transaction of the test; its table is as it was after it."""
        pytest.importorskip("qcore_orm")
        task_id = async_task("chores.kind.add", 1)
        assert_enqueued("chores.kind.add", args=(1,))
        assert drain() == Counts(succeeded=1)
        assert result(task_id) == 1


@pytest.mark.fault("C10")
class TestInDjangosTestCase(TestCase):
    """A transaction around the test that never commits; nothing waits for that."""

    def test_a_broker_in_the_database(self):
        pytest.importorskip("qcore_orm")
        task_id = async_task("chores.kind.add", 1)
        assert drain() == Counts(succeeded=1)
        assert result(task_id) == 1

    def test_a_broker_outside_of_it(self):
        memory = {"broker_class": "qcore.brokers.memory.MemoryBroker"}
        with override_settings(Q_CLUSTER={"name": "tests"} | memory):
            with self.captureOnCommitCallbacks(execute=True):
                task_id = async_task("chores.kind.add", 1)
                assert queue_size() == 0
            assert drain() == Counts(succeeded=1)
            assert result(task_id) == 1

    def test_waiting_in_vain_ends(self):
        assert result(async_task("chores.kind.add", 1), wait=50) is None


# -- perform -----------------------------------------------------------------------------
def test_perform_returns_what_a_result_would_give(ledger):
    assert perform(kind.add, 1, right=2) == 3
    assert perform("chores.kind.nap_async", "key", 0.01) == "key"
    assert perform("chores.rude.return_lock").startswith(
        "<a lock that cannot be stored"
    )


def test_perform_raises():
    with pytest.raises(ValueError, match="too bad"):
        perform(kind.fail, "too bad")
    with pytest.raises(EnqueueError):
        perform(kind.echo, object())


def test_perform_takes_options(ledger):
    with pytest.raises(Exception, match=r"timeout of 0\.05 s"):
        perform("chores.kind.doze", 20, timeout=0.05)


# -- assert_enqueued ------------------------------------------------------------------------
def test_it_is_there_and_stays_there(qcore_queue):
    first = async_task(kind.add, 1, right=2, group="g", hook=kind.hook)
    async_task(kind.add, 2)
    assert [task.id for task in assert_enqueued(kind.add, args=(1,))] == [first]
    assert len(assert_enqueued("chores.kind.add")) == 2
    assert_enqueued(kind.add, (1,), {"right": 2}, group="g", hook=kind.hook, count=1)
    assert_enqueued(kind.fail, count=0)
    assert next(task.id for task in enqueued()) == first, "the order has not changed"
    assert queue_size() == 2


def test_near_misses_are_shown(qcore_queue):
    async_task(kind.fail)
    async_task(kind.add, 8, right=2, group="g")
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(kind.add, args=(7,), group="g")
    assert str(caught.value).splitlines() == [
        (
            "expected at least one waiting, found 0: func='chores.kind.add', group='g',"
            " args=(7,)"
        ),
        "  chores.kind.add(8, right=2)  - args is (8,)",
        "  chores.kind.fail()  - func is 'chores.kind.fail'; group is None; args is ()",
    ]


def test_an_empty_queue_is_named(qcore_queue):
    with pytest.raises(AssertionError, match="the queue is empty"):
        assert_enqueued(kind.add)


def test_too_many(qcore_queue):
    async_task(kind.add, 1)
    async_task(kind.add, 1)
    with pytest.raises(
        AssertionError, match=r"expected 1 waiting, found 2(.|\n)*- fits"
    ):
        assert_enqueued(kind.add, count=1)


def test_what_cannot_be_compared(qcore_queue):
    with pytest.raises(
        TypeError, match=r"cannot compare 'grup'; expected .*group, hook"
    ):
        assert_enqueued(kind.add, grup="g")


def test_options_are_compared_as_they_are_sent(qcore_queue, db):
    async_task(
        kind.add,
        1,
        q_options={
            "backoff": Backoff(2, factor=3),
            "retry_on": [ValueError],
            "track": True,
            "save": False,
        },
    )
    async_task(kind.add, 2, q_options={"backoff": dt.timedelta(minutes=1)})
    assert_enqueued(kind.add, (1,), backoff=Backoff(2, factor=3), track=True)
    assert_enqueued(kind.add, (1,), retry_on="builtins.ValueError", save=False)
    assert_enqueued(kind.add, (2,), backoff=60, track=None, retry_on=None)
    assert_enqueued(kind.add, track=True, count=1)
    with pytest.raises(AssertionError, match=r"- backoff is 60\.0; track is None"):
        assert_enqueued(kind.add, (2,), backoff="linear", track=True)
    with pytest.raises(EnqueueError, match=r"'backoff'.*expected seconds"):
        assert_enqueued(kind.add, backoff="often")


@pytest.fixture(params=["memory", "bands", "orm"])
def any_queue(request, qcore_queue, db, monkeypatch):
    """The queue of a test, of each broker that can look at what it delays."""
    own = {
        "memory": {},
        "bands": {"bands": True},
        "orm": {"orm": "default", "broker_class": None},
    }[request.param]
    if request.param == "bands":
        monkeypatch.setattr(MemoryBroker, "supports_priority", False)
    with override_settings(Q_CLUSTER=settings.Q_CLUSTER | own):
        broker = current.broker()
        assert isinstance(broker, BandedBroker) == (request.param == "bands")
        broker.purge_queue()
        yield
        current.broker().purge_queue()


@pytest.fixture
def unhurried(monkeypatch):
    """A test must not fail because its process stood still for a while."""
    monkeypatch.setattr(waiting, "NEAR", 600)


def test_delayed_tasks_are_found_by_their_delay(any_queue, unhurried):
    moment = timezone.now() + dt.timedelta(days=2)
    first = async_task(kind.add, 1, delay=3600)
    second = async_task(kind.add, 2, q_options={"run_after": moment, "priority": 90})
    async_task(kind.add, 3)
    assert [task.id for task in assert_enqueued(kind.add, delay=3600)] == [first]
    assert_enqueued(kind.add, (1,), run_after=dt.timedelta(hours=1), count=1)
    (found,) = assert_enqueued(kind.add, run_after=moment, priority=90)
    assert found.id == second
    assert_enqueued(kind.add, (3,), delay=None, count=1)
    assert_enqueued(kind.add, count=1)  # what is delayed does not wait yet
    with pytest.raises(AssertionError, match=r"add\(1\)  - delay is 3\d{3}\."):
        assert_enqueued(kind.add, (1,), delay=60)
    assert drain() == Counts(succeeded=1), "and stays delayed"


def test_what_the_outbox_keeps_is_found_by_its_delay(db, unhurried, monkeypatch):
    own = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}
    with override_settings(Q_CLUSTER=own):
        monkeypatch.setattr(OutsideBroker, "supports_delay", False)
        broker = current.broker()
        broker.purge_queue()
        task_id = async_task(kind.add, 1, delay=dt.timedelta(days=20))
        assert broker.delayed() == []
        (found,) = assert_enqueued(kind.add, delay=dt.timedelta(days=20))
        assert found.id == task_id


def test_a_broker_that_cannot_look_at_what_it_delays(qcore_queue):
    class Blind(MemoryBroker):
        delayed = Broker.delayed

    broker = Blind(current.conf)
    assert_enqueued(kind.add, count=0, broker=broker)
    with pytest.raises(Unsupported, match="look at its delayed packages"):
        assert_enqueued(kind.add, delay=60, broker=broker)


def test_a_broker_that_gives_nothing_back(qcore_queue):
    class Keeping(MemoryBroker):
        supports_release = False

        def release(self, receipts, *, delay=0):
            raise self._unsupported("give a delivery back")

    broker = Keeping(current.conf)
    async_task(kind.add, 1)
    with pytest.raises(Unsupported):
        enqueued(broker=broker)
    assert len(enqueued()) == 1, "nothing was claimed"


# -- fixtures and LiveCluster -----------------------------------------------------------------
def test_the_fixture_has_the_functions(qcore_queue):
    async_task(kind.add, 1)
    qcore_queue.assert_enqueued(kind.add)
    assert len(qcore_queue.enqueued()) == 1
    assert qcore_queue.perform(kind.add, 1) == 1


def test_a_cluster_cannot_see_a_database_in_memory(db, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "NAME", ":memory:")
    cluster = LiveCluster()
    with pytest.raises(ConfigError, match="in the memory of this process"):
        cluster.start()
    cluster.close()


def test_what_cannot_be_given_to_another_process():
    with pytest.raises(ConfigError, match="FORM_RENDERER cannot be given to another"):
        literal("FORM_RENDERER", object())
    assert (
        literal("CACHES", {"default": ["a", 1, None]}) == "{'default': ['a', 1, None]}"
    )
