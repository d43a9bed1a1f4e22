"""A task that is called inside a transaction is sent if that commits, whatever dies."""

from __future__ import annotations

import pytest
from chores.outside import OutsideBroker
from django.db import IntegrityError, transaction
from django.test import override_settings

from qcore.errors import BrokerError, BrokerUnavailable, NoReply, Unsupported
from qcore.ledger import place
from qcore.ledger.relay import Relay
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.tasks import async_task, async_task_many, outgoing, queue_size
from qcore.testing.drain import enqueued

OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}


def settings(**more):
    return override_settings(Q_CLUSTER=OUTSIDE | more)


def rows():
    return list(OutboxRow.objects.order_by("id"))


class TestInATransaction:
    def test_sent_on_commit_and_nothing_is_left(self, outside):
        with transaction.atomic():
            task_id = async_task("chores.kind.add", 1)
            (row,) = rows()
            assert (row.task_id, row.queue, row.gen) == (task_id, "tests", 0)
            assert row.held_by
            assert queue_size() == 0
        (task,) = enqueued()
        assert (task.id, task.relayed) == (task_id, True)
        assert rows() == []

    def test_a_rollback_takes_it_along(self, outside):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            async_task("chores.kind.add", 1)
            _ = 1 / 0
        assert (rows(), queue_size()) == ([], 0)

    def test_so_does_a_savepoint(self, outside):
        with transaction.atomic():
            kept = async_task("chores.kind.add", 1)
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                async_task("chores.kind.add", 2)
                _ = 1 / 0
        assert [task.id for task in enqueued()] == [kept]
        assert rows() == []

    @pytest.mark.fault("C12")
    def test_a_hook_of_somebody_else_that_raises_loses_nothing(self, outside, relay):
        """Django calls no further hook: the relay sends it when the claim has ended."""
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: 1 / 0)
            task_id = async_task("chores.kind.add", 1)
        assert (queue_size(), len(rows())) == (0, 1)
        relay.tick()
        assert queue_size() == 0, "its sender may yet be alive"
        pass_(outgoing.TERM)
        relay.tick()
        assert [task.id for task in enqueued()] == [task_id]
        assert rows() == []

    @pytest.mark.parametrize(
        "error", [BrokerUnavailable("away"), BrokerError("no"), ValueError("odd")]
    )
    @pytest.mark.fault("C12")
    def test_a_broker_that_fails_then(self, outside, relay, error, caplog):
        OutsideBroker.errors[:] = [error]
        with transaction.atomic():
            task_id = async_task("chores.kind.add", 1)
        assert (queue_size(), len(rows())) == (0, 1)
        assert f"left in the outbox: chores.kind.add id={task_id}" in caplog.text
        relay.tick()
        assert [task.id for task in enqueued()] == [task_id]
        assert rows() == []

    def test_what_of_a_batch_was_stored_is_not_sent_again(self, outside, relay):
        error = BrokerUnavailable("away")
        error.stored = 3
        OutsideBroker.errors[:] = [error]
        with transaction.atomic():
            ids = async_task_many("chores.kind.add", [(n,) for n in range(10)])
        assert [row.task_id for row in rows()] == ids[3:]
        relay.tick()
        assert [task.id for task in enqueued()] == ids

    def test_what_may_be_stored_is_sent_again(self, outside, relay):
        error = NoReply("no reply")
        error.stored, error.unsure = 1, 2
        OutsideBroker.errors[:] = [error]
        with transaction.atomic():
            ids = async_task_many("chores.kind.add", [(n,) for n in range(4)])
        assert [row.task_id for row in rows()] == ids[1:]
        relay.tick()
        assert [task.id for task in enqueued()] == ids

    def test_a_sender_that_comes_late_leaves_it_to_the_relay(
        self, outside, relay, monkeypatch
    ):
        with transaction.atomic():
            task_id = async_task("chores.kind.add", 1)
            monkeypatch.setattr(outgoing, "BEGIN_WITHIN", -1.0)
        assert (queue_size(), len(rows())) == (0, 1)
        pass_(outgoing.TERM)
        relay.tick()
        assert [task.id for task in enqueued()] == [task_id]

    def test_a_process_that_is_stopped_while_it_sends(self, outside, relay):
        OutsideBroker.errors[:] = [KeyboardInterrupt()]
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            async_task("chores.kind.add", 1)
        relay.tick()
        assert (queue_size(), rows()) == (1, [])

    @pytest.mark.fault("L8")
    def test_a_row_that_cannot_be_deleted_is_sent_twice_with_one_id(
        self, outside, relay, monkeypatch, caplog
    ):
        def fail(self, token, ids):
            from django.db import OperationalError

            raise OperationalError("away")

        with monkeypatch.context() as patch:
            patch.setattr("qcore.ledger.outbox.Outbox.delete_tasks", fail)
            with transaction.atomic():
                task_id = async_task("chores.kind.add", 1)
        assert "cannot be cleared of chores.kind.add" in caplog.text
        pass_(outgoing.TERM)
        relay.tick()
        tasks = enqueued()
        assert [task.id for task in tasks] == [task_id] * 2
        assert all(task.may_be_doubled for task in tasks)

    def test_the_database_is_that_of_the_results(self, outside):
        assert current.outbox.database == current.store().database == "default"

    def test_the_database_can_be_another_one(self, outside, elsewhere):
        """What is committed there is in the outbox; other commits are waited for."""
        with settings(ledger=elsewhere):
            there = OutboxRow.objects.using(elsewhere)
            with transaction.atomic(elsewhere):
                first = async_task("chores.kind.add", 1)
                assert there.count() == 1
            with transaction.atomic("default"):
                second = async_task("chores.kind.add", 1)
                assert there.count() == 0
                assert queue_size() == 1
            assert [(task.id, task.relayed) for task in enqueued()] == [
                (first, True),
                (second, False),
            ]
            far = async_task("chores.kind.add", 1, delay=86_400)
            assert [row.task_id for row in there.all()] == [far]
            assert rows() == []

    def test_a_broken_transaction_is_left_alone(self, outside):
        """It will be undone, and the task with it: no error of ours before."""
        with transaction.atomic():
            with pytest.raises(IntegrityError), transaction.atomic(savepoint=False):
                raise IntegrityError
            async_task("chores.kind.add", 1)
        assert (queue_size(), rows()) == (0, [])


class TestWhereItIsNotUsed:
    @pytest.mark.parametrize("how", ["commit now", "outbox", "broker"])
    def test_declined(self, outside, how):
        setting = {"outbox": False} if how == "outbox" else {}
        with settings(**setting):
            own = OutsideBroker(current.conf)
            options = {"commit now": {"commit": "now"}, "broker": {"broker": own}}
            with transaction.atomic():
                async_task("chores.kind.add", 1, **options.get(how, {}))
                assert rows() == []
            (task,) = enqueued()
            assert not task.relayed

    def test_outside_of_a_transaction(self, outside):
        async_task("chores.kind.add", 1)
        (task,) = enqueued()
        assert not task.relayed

    def test_without_its_tables_tasks_are_sent_as_in_2_0(
        self, outside, monkeypatch, caplog
    ):
        monkeypatch.setattr(place, "_TABLES", {"qcore_nowhere"})
        place.forget()
        current.reset()
        try:
            with transaction.atomic():
                async_task("chores.kind.add", 1)
                async_task("chores.kind.add", 2)
            assert [task.relayed for task in enqueued()] == [False, False]
            assert caplog.text.count("python manage.py migrate --database=default") == 1
            with pytest.raises(Unsupported):
                async_task("chores.kind.add", 1, delay=86_400)
        finally:
            place.forget()
            current.reset()


class TestDelays:
    def test_a_delay_that_the_broker_can_keep(self, outside):
        with transaction.atomic():
            async_task("chores.kind.add", 1, delay=600)
        assert (queue_size(), rows(), enqueued()) == (1, [], [])

    def test_is_kept_where_the_sender_was_killed(self, outside, relay, monkeypatch):
        monkeypatch.setattr(transaction, "on_commit", lambda *_, **__: None)
        with transaction.atomic():
            async_task("chores.kind.add", 1, delay=600)
        pass_(599)
        relay.tick()
        assert (queue_size(), len(rows())) == (0, 1)
        pass_(1)
        relay.tick()
        assert (len(enqueued()), rows()) == (1, [])

    def test_is_kept_where_the_sender_has_failed(self, outside, relay):
        OutsideBroker.errors[:] = [BrokerUnavailable("away")]
        with transaction.atomic():
            async_task("chores.kind.add", 1, delay=600)
        pass_(599)
        relay.tick()
        assert (queue_size(), len(rows())) == (0, 1)
        pass_(1)
        relay.tick()
        assert len(enqueued()) == 1

    @pytest.mark.parametrize("inside", [False, True])
    def test_a_delay_that_the_broker_cannot_keep(self, outside, relay, inside):
        if inside:
            with transaction.atomic():
                task_id = async_task("chores.kind.add", 1, delay=30 * 86_400)
        else:
            task_id = async_task("chores.kind.add", 1, delay=30 * 86_400)
        (row,) = rows()
        assert (row.held_by, row.claimed, queue_size()) == (None, None, 0)
        assert 0 < relay.tick() <= 2
        pass_(30 * 86_400 - 60)
        relay.tick()
        assert queue_size() == 0
        pass_(60)
        relay.tick()
        assert [task.id for task in enqueued()] == [task_id]

    def test_now_inside_a_transaction_cannot_wait_for_it(self, outside):
        with transaction.atomic(), pytest.raises(Unsupported, match="cannot delay"):
            async_task("chores.kind.add", 1, delay=86_400, commit="now")


class TestAlways:
    def test_a_broker_that_is_away_keeps_nobody_from_sending(self, outside):
        with settings(outbox=True):
            OutsideBroker.errors[:] = [BrokerUnavailable("away")]
            task_id = async_task("chores.kind.add", 1)
            assert [row.task_id for row in rows()] == [task_id]
            sent = async_task("chores.kind.add", 1)
            assert [task.id for task in enqueued()] == [sent]
            Relay(current.conf).tick()
            assert [task.id for task in enqueued()] == [sent, task_id]
            assert rows() == []


def pass_(seconds):
    """Let so many seconds pass for the outbox."""
    from django.db.models import F

    OutboxRow.objects.filter(due__isnull=False).update(due=F("due") - seconds)
