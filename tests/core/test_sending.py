"""When a task leaves: at once, on commit, in the caller's transaction, or not at all."""

from __future__ import annotations

import importlib.util
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction
from django.test import override_settings

from qcore.brokers.memory import MemoryBroker
from qcore.errors import BrokerUnavailable, PayloadTooLarge, Unsupported
from qcore.runtime import current
from qcore.tasks import async_task, async_task_many, queue_size, transactions
from qcore.testing.drain import enqueued

MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}

needs_orm = pytest.mark.skipif(
    importlib.util.find_spec("qcore_orm") is None, reason="qcore-orm is not installed"
)


@pytest.fixture
def outside():
    """A broker outside of the database, with the default setting of ``commit``."""
    with override_settings(Q_CLUSTER=MEMORY):
        broker = current.broker()
        broker.purge_queue()
        yield broker
        broker.purge_queue()


@pytest.mark.fault("C9")
@pytest.mark.django_db(transaction=True)
class TestTransactions:
    def test_sent_on_commit(self, outside):
        with transaction.atomic():
            task_id = async_task("chores.kind.add", 1)
            assert queue_size() == 0
        assert [task.id for task in enqueued()] == [task_id]

    def test_never_sent_after_a_rollback(self, outside):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            async_task("chores.kind.add", 1)
            _ = 1 / 0
        assert queue_size() == 0

    def test_a_rolled_back_savepoint_takes_its_tasks_along(self, outside):
        with transaction.atomic():
            async_task("chores.kind.add", 1)
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                async_task("chores.kind.add", 2)
                _ = 1 / 0
        assert len(enqueued()) == 1

    @pytest.mark.parametrize("how", ["option", "setting"])
    def test_sent_at_once_where_that_is_wanted(self, outside, how):
        setting = {"commit": "now"} if how == "setting" else {}
        option = {"commit": "now"} if how == "option" else {}
        with override_settings(Q_CLUSTER=MEMORY | setting), transaction.atomic():
            async_task("chores.kind.add", 1, **option)
            assert queue_size() == 1

    def test_no_transaction_no_wait(self, outside):
        async_task("chores.kind.add", 1)
        assert queue_size() == 1

    def test_a_transaction_of_another_thread_is_not_waited_for(self, outside):
        with transaction.atomic(), ThreadPoolExecutor(1) as pool:
            pool.submit(async_task, "chores.kind.add", 1).result()
            assert queue_size() == 1

    def test_a_connection_that_was_given_by_another_thread_is_waited_for(self, outside):
        """As Django's LiveServerTestCase does it."""
        given = connections["default"]

        def send() -> int:
            connections["default"] = given
            with transaction.atomic():
                async_task("chores.kind.add", 1)
                return queue_size()

        given.inc_thread_sharing()
        try:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(send).result() == 0
        finally:
            given.dec_thread_sharing()
        assert queue_size() == 1

    def test_django_is_asked_for_connections_in_a_transaction_alone(
        self, outside, monkeypatch
    ):
        # those that other tests have left, perhaps in a transaction, are not of this one
        known = transactions._Connected()
        known.note(connections["default"])
        known.is_complete = True
        monkeypatch.setattr(transactions, "_connected", known)
        asked = []
        found = connections.all
        monkeypatch.setattr(
            connections, "all", lambda **only: asked.append(only) or found(**only)
        )
        async_task("chores.kind.add", 1)
        assert asked == []
        with transaction.atomic():
            async_task("chores.kind.add", 1)
        assert asked == [{"initialized_only": True}]

    @needs_orm
    def test_a_broker_in_that_database_joins_the_transaction(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            async_task("chores.kind.add", 1)
            assert queue_size() == 1, "it is there, for this transaction"
            _ = 1 / 0
        assert queue_size() == 0
        with transaction.atomic():
            async_task("chores.kind.add", 1)
        assert queue_size() == 1

    def test_what_is_wrong_is_told_before_the_commit(self, outside):
        """A package over the limit must not fail when the caller has long gone on."""
        with (
            override_settings(Q_CLUSTER=MEMORY | {"max_payload": 300}),
            transaction.atomic(),
            pytest.raises(PayloadTooLarge),
        ):
            async_task("chores.kind.echo", "x" * 250)


@pytest.mark.fault("C11")
@pytest.mark.django_db(transaction=True)
class TestHooksOfACommit:
    """What waits for a commit, with a broker outside of that database."""

    def test_a_task_that_cannot_be_sent_keeps_nothing_else_from_it(
        self, outside, monkeypatch, caplog
    ):
        """The commit stands; the next task is sent, and what was not is in the log."""
        real, told = MemoryBroker.enqueue_many, []

        def fail_once(self, packages, **options):
            if not told:
                told.append(packages)
                raise BrokerUnavailable("no answer")
            return real(self, packages, **options)

        monkeypatch.setattr(MemoryBroker, "enqueue_many", fail_once)
        done = []
        with transaction.atomic():
            lost = async_task("chores.kind.add", 1)
            sent = async_task("chores.kind.add", 2)
            transaction.on_commit(lambda: done.append("theirs"))
        assert [task.id for task in enqueued()] == [sent]
        assert done == ["theirs"]
        (line,) = [m for m in caplog.messages if m.startswith("not sent after")]
        assert f"'default': chores.kind.add id={lost} (BrokerUnavailable)" in line

    def test_a_log_line_names_ten_tasks_at_most(self, outside, monkeypatch, caplog):
        def fail(self, packages, **_):
            raise BrokerUnavailable("no answer")

        monkeypatch.setattr(MemoryBroker, "enqueue_many", fail)
        with transaction.atomic():
            async_task_many("chores.kind.add", [(n,) for n in range(12)])
        (line,) = [m for m in caplog.messages if m.startswith("not sent after")]
        assert line.count("chores.kind.add") == 10
        assert "and 2 more" in line

    def test_a_hook_of_somebody_else_that_raises_first(self, outside):
        """As the manual says: Django calls no further hook, and the task is not sent."""
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: 1 / 0)
            async_task("chores.kind.add", 1)
        assert queue_size() == 0
        with transaction.atomic():
            transaction.on_commit(lambda: 1 / 0, robust=True)
            async_task("chores.kind.add", 1)
        assert queue_size() == 1

    @needs_orm
    def test_a_broker_in_that_database_needs_no_hook(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: 1 / 0)
            async_task("chores.kind.add", 1)
        assert queue_size() == 1

    def test_what_the_broker_cannot_do_is_told_before_the_commit(
        self, outside, monkeypatch
    ):
        monkeypatch.setattr(MemoryBroker, "supports_delay", False)
        with transaction.atomic(), pytest.raises(Unsupported, match="cannot delay"):
            async_task("chores.kind.add", 1, delay=60)
        assert queue_size() == 0


def test_a_delay(qcore_queue):
    async_task("chores.kind.add", 1, delay=60)
    assert queue_size() == 1
    assert enqueued() == []


def test_a_delay_that_the_broker_cannot_keep(qcore_queue, monkeypatch):
    class Undelaying(MemoryBroker):
        supports_delay = False

        def enqueue_many(self, packages, *, delay=0):
            self.check_delay(delay)
            return super().enqueue_many(packages)

    broker = Undelaying(current.conf)
    with pytest.raises(Unsupported, match="cannot delay a package"):
        async_task("chores.kind.add", 1, delay=60, broker=broker)
    assert queue_size() == 0


def test_another_queue(qcore_queue):
    async_task("chores.kind.add", 1, cluster="heavy")
    assert queue_size() == 0
    (task,) = enqueued("heavy")
    assert task.queue == "heavy"
    current.broker("heavy").purge_queue()


def test_a_broker_of_ones_own(qcore_queue):
    own = MemoryBroker(current.conf, "own")
    async_task("chores.kind.add", 1, broker=own)
    assert (queue_size(), queue_size(own)) == (0, 1)
    own.purge_queue()


def test_one_round_trip_for_many(qcore_queue, monkeypatch):
    calls = []
    send = MemoryBroker.enqueue_many

    def counted(self, packages, **options):
        calls.append(len(packages))
        return send(self, packages, **options)

    monkeypatch.setattr(MemoryBroker, "enqueue_many", counted)
    async_task_many("chores.kind.add", [(n,) for n in range(50)])
    assert calls == [50]


def test_a_broker_that_cannot_be_reached_is_told_to_the_caller(
    qcore_queue, monkeypatch
):
    def fail(self, packages, **_):
        raise BrokerUnavailable("no answer")

    monkeypatch.setattr(MemoryBroker, "enqueue_many", fail)
    with pytest.raises(BrokerUnavailable, match="no answer"):
        async_task("chores.kind.add", 1)


def test_observers_are_told_of_each_task(qcore_queue, monkeypatch):
    seen = []
    registry = current.registry
    monkeypatch.setattr(
        registry, "observed", lambda hook: hook == "qcore_task_enqueued"
    )
    monkeypatch.setattr(
        registry, "notify", lambda hook, **given: seen.append((hook, given["task"].id))
    )
    ids = async_task_many("chores.kind.add", [(1,), (2,)])
    assert seen == [("qcore_task_enqueued", id) for id in ids]


def test_the_log_names_what_was_sent(qcore_queue, caplog):
    with caplog.at_level(logging.DEBUG, "qcore.sending"):
        task_id = async_task("chores.kind.add", 1)
    assert f"enqueued chores.kind.add id={task_id} queue=tests" in caplog.messages
