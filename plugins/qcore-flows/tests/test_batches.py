"""Batches: members are counted however they end, and each callback is sent once."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import override_settings

from qcore import Drop, Settled
from qcore.errors import (
    BrokerUnavailable,
    CallError,
    ConfigError,
    EnqueueError,
    PackageError,
    PayloadTooLarge,
    Unsupported,
)
from qcore.ledger.clock import Clock
from qcore.ledger.facade import LedgerFacade
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current
from qcore.tasks import async_task, result
from qcore.testing.drain import drain
from qcore_flows import Batch, current_batch, qcore_sweep
from qcore_flows import batch as batches
from qcore_flows import sweep as sweeping
from qcore_flows.models import FlowRow, MemberRow
from qcore_flows.sweep import sweep

ENDS = ["failure", "timeout", "crash", "expired", "cancelled", "discarded", "replaced"]

CALLBACKS = ("on_success", "on_complete", "on_first_failure")


def add_to_own_batch(count):
    """A task that adds members to its batch."""
    batch = current_batch()
    for number in range(count):
        batch.add("chores.kind.add", number)
    return batch.id


def batch_of_callback():
    return current_batch().status().state


def made(count=2, **options):
    """Return a sealed batch with callbacks that echo their names, and its ids."""
    with Batch("import 7") as batch:
        for word in CALLBACKS:
            getattr(batch, word)("chores.kind.echo", word)
        ids = [batch.add("chores.kind.add", n, **options) for n in range(count)]
    return batch, ids


def called(queue):
    """Return which callbacks are in the queue, in their order."""
    return [
        task.options and current_args(task)
        for task in queue.tasks()
        if task.func == "chores.kind.echo"
    ]


def current_args(task):
    import json

    return json.loads(task.body)[0][0]


# -- the ends ---------------------------------------------------------------------------------
def test_all_succeed(queue):
    batch, ids = made(3)
    assert queue.funcs() == ["add"] * 3
    queue.end(ids[0])
    queue.end(ids[1])
    assert called(queue) == []
    status = batch.status()
    assert (status.state, status.total, status.done, status.succeeded) == (
        "running", 3, 2, 2,
    )  # fmt: skip
    queue.end(ids[2])
    assert called(queue) == ["on_complete", "on_success"]
    assert batch.status().state == "succeeded"
    assert batch.status().share == 1.0


@pytest.mark.parametrize("outcome", ENDS)
def test_every_other_end_is_a_failure(queue, outcome):
    batch, ids = made(2)
    queue.end(ids[0], outcome=outcome)
    assert called(queue) == ["on_first_failure"]
    queue.end(ids[1])
    assert called(queue) == ["on_first_failure", "on_complete"]
    status = batch.status()
    assert (status.state, status.failed, status.succeeded) == ("failed", 1, 1)
    assert [one.state for one in batch.members()] == [outcome, "success"]
    assert [one.state for one in batch.members(failed=True)] == [outcome]


def test_a_failure_that_is_tried_again_is_no_end(queue):
    batch, ids = made(1)
    queue.end(*ids, outcome="failure", final=False)
    assert batch.status().pending == 1
    queue.end(*ids)
    assert batch.status().state == "succeeded"


@pytest.mark.fault("L12")
def test_an_end_that_comes_again_is_counted_once(queue):
    batch, ids = made(2)
    for _ in range(3):
        queue.end(ids[0])
    assert batch.status().pending == 1
    queue.end(ids[1])
    queue.end(*ids)
    assert called(queue) == ["on_complete", "on_success"]


def test_several_end_together(queue):
    one, ids = made(3)
    other, others = made(2)
    queue.end(*ids, *others[:1])
    assert called(queue) == ["on_complete", "on_success"]
    assert (one.status().pending, other.status().pending) == (0, 1)


def test_a_rollback_takes_back_the_end_and_the_callback(queue):
    batch, ids = made(1)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        queue.end(*ids)
        _ = 1 / 0
    assert called(queue) == []
    assert batch.status().pending == 1
    assert not OutboxRow.objects.exists()
    queue.end(*ids)
    assert called(queue) == ["on_complete", "on_success"]


def test_a_callback_is_a_row_of_the_outbox_where_the_broker_is_away(queue):
    batch, ids = made(1)
    current.broker().errors.append(BrokerUnavailable("away"))
    queue.end(*ids)
    assert len(called(queue)) + OutboxRow.objects.count() == 2
    assert batch.status().completed is not None


@pytest.mark.parametrize("outbox", [True, False, None])
def test_it_does_not_matter_whether_the_project_uses_the_outbox(
    queue, settings, outbox
):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "outbox": outbox}
    _, ids = made(1)
    queue.end(*ids)
    assert called(queue) == ["on_complete", "on_success"]


def test_it_runs_in_a_queue(queue):
    with Batch() as batch:
        batch.on_success("chores.kind.echo", "all done")
        batch.on_complete(batch_of_callback)
        ids = batch.add_many("chores.kind.add", [1, (2, 3)])
    assert drain().succeeded == 4
    assert [result(id) for id in ids] == [1, 5]
    assert batch.status().state == "succeeded"


def test_callbacks_and_members_know_their_batch(queue):
    with Batch() as batch:
        batch.on_complete(batch_of_callback)
        first = batch.add(add_to_own_batch, 2)
    assert drain().succeeded == 4
    assert result(first) == batch.id
    (callback,) = [
        id
        for id in current.results.finished(_every_id(batch))
        if id not in {one.task_id for one in batch.members()}
    ]
    assert result(callback) == "succeeded"
    assert current_batch() is None


def _every_id(batch):
    from qcore_flows.option import derived_id

    return [one.task_id for one in batch.members()] + [
        derived_id(batch.id, "on_complete")
    ]


# -- the block --------------------------------------------------------------------------------
def test_an_empty_batch_succeeds_at_once(queue):
    batch, _ = made(0)
    assert called(queue) == ["on_complete", "on_success"]
    assert batch.status().state == "succeeded"


def test_members_are_sent_in_portions(queue, monkeypatch):
    monkeypatch.setattr(batches, "PORTION", 2)
    with Batch() as batch:
        batch.on_complete("chores.kind.echo", "on_complete")
        ids = [batch.add("chores.kind.add", n) for n in range(3)]
        assert queue.funcs() == ["add"] * 2
        assert batch.status().state == "open"
        queue.end(*ids[:2])
        assert batch.status().pending == 0
        assert called(queue) == [], "more may come"
    assert called(queue) == []
    queue.end(ids[2])
    assert called(queue) == ["on_complete"]
    assert [one.task_id for one in batch.members()] == ids


def test_all_members_have_ended_before_the_block(queue, monkeypatch):
    monkeypatch.setattr(batches, "PORTION", 1)
    with Batch() as batch:
        batch.on_success("chores.kind.echo", "on_success")
        queue.end(batch.add("chores.kind.add", 1))
        assert called(queue) == []
    assert called(queue) == ["on_success"]


def test_a_failure_before_the_end_of_the_block_is_told_at_its_end(queue, monkeypatch):
    monkeypatch.setattr(batches, "PORTION", 1)
    with Batch() as batch:
        batch.on_first_failure("chores.kind.echo", "on_first_failure")
        queue.end(batch.add("chores.kind.add", 1), outcome="failure")
    assert called(queue) == ["on_first_failure"]


def test_a_block_that_raises_sends_nothing(queue):
    with pytest.raises(ZeroDivisionError), Batch() as batch:
        batch.on_complete("chores.kind.echo", "on_complete")
        batch.add("chores.kind.add", 1)
        _ = 1 / 0
    assert queue.funcs() == []
    assert batch.status() is None
    with pytest.raises(CallError, match="sealed"):
        batch.__enter__()


def test_a_block_that_raises_cancels_what_was_sent(queue, monkeypatch):
    monkeypatch.setattr(batches, "PORTION", 2)
    with pytest.raises(ZeroDivisionError), Batch() as batch:
        for word in CALLBACKS:
            getattr(batch, word)("chores.kind.echo", word)
        ids = [batch.add("chores.kind.add", n) for n in range(3)]
        _ = 1 / 0
    assert [task.id for task in queue.tasks()] == ids[:2]
    assert set(
        Ticket.objects.exclude(cancelled=None).values_list("task_id", flat=True)
    ) == set(ids[:2])
    queue.end(*ids[:2], outcome="cancelled")
    assert called(queue) == []
    assert batch.status().state == "cancelled"


def test_a_batch_in_a_transaction_is_rolled_back_with_it(queue):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        batch, _ = made(2)
        _ = 1 / 0
    assert (queue.funcs(), batch.status()) == ([], None)
    with transaction.atomic():
        batch, _ = made(2)
        assert queue.funcs() == []
    assert queue.funcs() == ["add"] * 2


def test_sealed_twice(queue):
    batch, _ = made(1)
    with pytest.raises(CallError, match=r"is sealed: a batch has one block"), batch:
        pytest.fail("the block must not begin")
    with pytest.raises(CallError, match="on_success is set before"):
        batch.on_success("chores.kind.echo")
    with pytest.raises(EnqueueError, match="it is sealed, as the block"):
        batch.add("chores.kind.add", 1)
    assert batch.status().total == 1


def test_used_wrongly(queue):
    batch = Batch()
    with pytest.raises(CallError, match="add tasks in its block"):
        batch.add("chores.kind.add", 1)
    with batch, pytest.raises(CallError, match="begun already"):
        batch.__enter__()
    with pytest.raises(CallError, match="the name of a batch"):
        Batch(7)
    with pytest.raises(CallError, match="there is no batch with the id"):
        Batch.get("0" * 32)
    with pytest.raises(CallError, match="there is no batch with the id"):
        Batch.get(None)
    with Batch() as other:
        other.on_success("chores.kind.echo", 1)
        with pytest.raises(CallError, match="on_success already: chores"):
            other.on_success("chores.kind.echo", 2)
        with pytest.raises(EnqueueError, match="has a delay"):
            other.on_complete("chores.kind.echo", 1, delay=5)


@pytest.mark.parametrize("option", [{"sync": True}, {"commit": "now"}])
def test_options_that_a_batch_cannot_keep(queue, option):
    with (
        Batch() as batch,
        pytest.raises(EnqueueError, match="a batch, flow or durable"),
    ):
        batch.add("chores.kind.add", 1, **option)


def test_what_cannot_be_sent_is_refused_where_it_is_added(queue):
    with pytest.raises(EnqueueError, match="object"), Batch() as batch:
        batch.add("chores.kind.echo", object())
    assert batch.status() is None


def test_sync_is_refused(queue, settings):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "sync": True}
    with pytest.raises(EnqueueError, match=r"\['sync'\] is on"), Batch():
        pytest.fail("the block must not begin")


def test_without_the_app(queue):
    with (
        override_settings(INSTALLED_APPS=["qcore"]),
        pytest.raises(EnqueueError, match="qcore_flows"),
        Batch(),
    ):
        pytest.fail("the block must not begin")


# -- adding later -----------------------------------------------------------------------------
def test_an_option_of_any_task(queue):
    batch = Batch()
    with batch:
        batch.add("chores.kind.add", 1)
        with pytest.raises(EnqueueError, match="there is none of this id"):
            async_task("chores.kind.add", 1, q_options={"flow": batch})
        for wrong in (7, "x", {"flow": 1}):
            with pytest.raises(EnqueueError, match=r"expected a qcore_flows\.Batch"):
                async_task("chores.kind.add", 1, q_options={"flow": wrong})
    assert batch.status().total == 1


def test_a_batch_that_has_ended_takes_nothing_more(queue):
    batch, ids = made(1)
    queue.end(*ids)
    with pytest.raises(EnqueueError, match="it has ended"):
        Batch.get(batch.id).add("chores.kind.add", 1)


def test_a_member_that_is_unique_and_there_already_is_not_counted(queue):
    pytest.importorskip("qcore_limits")
    async_task("chores.kind.add", 1, q_options={"unique": "job"})
    with Batch() as batch:
        batch.on_complete("chores.kind.echo", "on_complete")
        batch.add("chores.kind.add", 1, q_options={"unique": "job"})
        kept = batch.add("chores.kind.add", 2)
    assert batch.status().total == 1
    queue.end(kept)
    assert called(queue) == ["on_complete"]


# -- by hand ----------------------------------------------------------------------------------
def test_cancel(queue):
    batch, ids = made(3)
    queue.end(ids[0])
    assert batch.cancel() == 2
    assert batch.status().state == "cancelled"
    queue.end(*ids[1:], outcome="cancelled")
    assert called(queue) == ["on_complete"]
    assert Batch.get(batch.id).cancel() == 0


def test_retry_of_the_failed(queue):
    batch, ids = made(3)
    queue.end(*ids[:2], outcome="failure")
    queue.end(ids[2])
    assert called(queue) == ["on_first_failure", "on_complete"]
    assert batch.retry() == 2
    status = batch.status()
    assert (status.state, status.pending, status.failed) == ("running", 2, 0)
    again = [one.task_id for one in batch.members()]
    assert len(set(again) | set(ids)) == 5
    assert [queue.task(id).headers for id in again[:2]] == [
        {"resent_from": id} for id in ids[:2]
    ]
    assert [current_args(queue.task(id)) for id in again[:2]] == [0, 1]
    assert all(map(queue.may_run, again[:2]))
    queue.end(*ids, outcome="failure")
    assert batch.status().pending == 2, "those are not its tasks any more"
    queue.end(*again[:2])
    assert called(queue) == ["on_first_failure", "on_complete", "on_success"]
    assert batch.retry() == 0


def test_a_dead_task_that_is_resent_takes_its_place(queue):
    import msgspec

    from qcore.envelope import new_id
    from qcore.tasks.sending import send

    batch, ids = made(2)
    queue.end(ids[0], outcome="failure")
    dead = queue.task(ids[0])
    again = msgspec.structs.replace(
        dead, id=new_id(), headers={"resent_from": dead.id}, needs=(), relayed=False
    )
    send([again])
    assert (batch.status().total, batch.status().pending) == (2, 2)
    queue.end(again.id, ids[1])
    assert called(queue) == ["on_first_failure", "on_complete", "on_success"]
    # what has ended stays as it is
    once_more = msgspec.structs.replace(again, id=new_id())
    send([once_more])
    assert (batch.status().total, batch.status().state) == (2, "succeeded")


def test_a_callback_that_a_plugin_refuses_does_not_keep_the_end(queue, monkeypatch):
    pytest.importorskip("qcore_limits")
    from qcore_limits import Unique

    async_task("chores.kind.add", 1, q_options={"unique": "job"})
    with Batch() as batch:
        unique = Unique("job", on_conflict="raise")
        batch.on_success("chores.kind.echo", 1, q_options={"unique": unique})
        batch.on_complete("chores.kind.echo", "on_complete")
        id = batch.add("chores.kind.add", 1)
    queue.end(id)
    assert called(queue) == ["on_complete"]
    assert "on_success is not sent" in batch.status().problem


# -- the sweep --------------------------------------------------------------------------------
def later(monkeypatch, seconds):
    monkeypatch.setattr(Clock, "offset", Clock.offset + seconds)
    sweep(current.ledger.now())


DAY = 86_400.0


@pytest.mark.fault("L10")
def test_a_member_that_vanished_ends_as_lost(queue, monkeypatch):
    batch, ids = made(2)
    queue.end(ids[0])
    later(monkeypatch, DAY / 2)
    assert batch.status().pending == 1
    later(monkeypatch, DAY)
    assert [one.state for one in batch.members()] == ["success", "lost"]
    assert called(queue) == ["on_first_failure", "on_complete"]
    assert queue.claim(ids[1]) == Drop(
        "cancelled", "its batch or graph has counted it as 'lost' before"
    )
    queue.end(ids[1], outcome="cancelled")
    assert batch.status().failed == 1


@pytest.mark.fault("L10")
def test_a_member_that_waits_in_the_outbox_is_not_lost(queue, monkeypatch):
    batch, _ = made(1, delay=10 * DAY)
    assert OutboxRow.objects.count() == 1
    later(monkeypatch, 2 * DAY)
    assert batch.status().pending == 1


@pytest.mark.fault("L10")
def test_nothing_is_lost_while_a_queue_is_paused(queue, monkeypatch):
    from qcore.tasks import pause, resume

    batch, _ = made(1)
    pause("tests")
    later(monkeypatch, 2 * DAY)
    assert batch.status().pending == 1
    resume("tests")
    later(monkeypatch, 0)
    assert batch.status().state == "failed"


@pytest.mark.fault("L9")
def test_the_sweep_finds_an_end_that_was_recorded_and_not_counted(queue, monkeypatch):
    batch, ids = made(3)
    Ticket.objects.create(task_id=ids[0], final="timeout", ended=0.0)
    from qcore.tasks.inline import store_value

    store_value(queue.task(ids[1]), 5)
    later(monkeypatch, 2 * DAY)
    assert [one.state for one in batch.members()] == ["timeout", "success", "lost"]


@pytest.mark.fault("L9")
def test_the_sweep_counts_anew(queue, monkeypatch):
    batch, ids = made(2)
    queue.end(*ids)
    FlowRow.objects.update(pending=3, completed=None, succeeded=None, failed=1)
    later(monkeypatch, 2 * DAY)
    assert batch.status().state == "succeeded"
    assert called(queue) == ["on_complete", "on_success"] * 2


def test_a_batch_whose_maker_died_is_given_up(queue, monkeypatch):
    monkeypatch.setattr(batches, "PORTION", 1)
    batch = Batch()
    batch.__enter__()
    batch.on_complete("chores.kind.echo", "on_complete")
    batch.add("chores.kind.add", 1)
    later(monkeypatch, 2 * DAY)
    assert batch.status().state == "cancelled"
    assert called(queue) == []


def test_old_ones_are_pruned(queue, monkeypatch):
    old, ids = made(1)
    young, _ = made(1)
    queue.end(*ids)
    later(monkeypatch, 15 * DAY)
    assert old.status() is None
    assert young.status() is not None
    assert MemberRow.objects.count() == 1
    queue.end(*ids)  # heard, and nothing happens


def test_a_project_keeps_them_for_as_long_as_it_likes(queue, monkeypatch, settings):
    settings.Q_CLUSTER = {
        **settings.Q_CLUSTER,
        "flows": {"keep": 100, "lost_after": 70},
    }
    batch, _ = made(1)
    later(monkeypatch, 80)
    assert batch.status().state == "failed"
    later(monkeypatch, 101)
    assert batch.status() is None


@pytest.mark.fault("J14")
def test_a_flow_that_cannot_be_looked_at_stops_no_other(queue, monkeypatch, caplog):
    """Not this time, and not the next time: it goes to the end of the line."""
    batches_made = [made(1)[0] for _ in range(3)]
    odd = batches_made[0].id
    look = sweeping.recount

    def fail(flow):
        if flow.id == odd:
            raise ValueError("odd")
        look(flow)

    monkeypatch.setattr(sweeping, "recount", fail)
    monkeypatch.setattr(sweeping, "_FLOWS", 1)
    monkeypatch.setattr(Clock, "offset", Clock.offset + 2 * DAY)
    FlowRow.objects.filter(pk=odd).update(touched=0.0)
    with pytest.raises(ValueError, match="odd"):
        sweep(current.ledger.now())
    assert f"the flow {odd} cannot be looked at" in caplog.text
    for _ in range(2):
        sweep(current.ledger.now())
    assert [one.status().state for one in batches_made[1:]] == ["failed"] * 2


@pytest.mark.fault("J14")
def test_a_sweep_of_flows_that_fails_stops_not_that_of_steps(queue, monkeypatch):
    def fail(now):
        raise ValueError("odd")

    swept = []
    monkeypatch.setattr(sweeping, "sweep", fail)
    monkeypatch.setattr(
        "qcore_flows.steps.sweeping.sweep", lambda now: swept.append(now) or 60.0
    )
    with pytest.raises(ValueError, match="odd"):
        qcore_sweep(5.0)
    assert swept == [5.0]


@pytest.mark.parametrize(
    "error",
    [PayloadTooLarge("262,144 bytes"), ConfigError("no broker"), Unsupported("delay")],
)
def test_a_callback_that_can_never_be_sent_keeps_no_end_from_being_recorded(
    queue, monkeypatch, error
):
    batch, ids = made(2)
    send = LedgerFacade.send

    def refuse(self, tasks, *, delay=0):
        if current_args(tasks[0]) == "on_success":
            raise error
        return send(self, tasks, delay=delay)

    monkeypatch.setattr(LedgerFacade, "send", refuse)
    queue.end(*ids)
    assert batch.status().state == "succeeded"
    assert called(queue) == ["on_complete"]
    assert batch.status().problem == f"on_success is not sent: {error}"


def test_what_is_told_of_a_callback_can_be_stored_in_any_database(queue, monkeypatch):
    batch, ids = made(1)

    def refuse(self, tasks, *, delay=0):
        raise EnqueueError("a\0b \udcff")

    monkeypatch.setattr(LedgerFacade, "send", refuse)
    queue.end(*ids)
    assert batch.status().problem.endswith(r"is not sent: a\x00b \udcff")


def test_a_failed_member_that_is_too_large_by_now_ends_all_the_same(
    queue, monkeypatch, caplog
):
    batch, ids = made(1)
    task = queue.task(ids[0])

    def sign(task):
        raise PackageError("too large")

    with monkeypatch.context() as patch:
        patch.setattr(type(current.signer), "sign", lambda self, task: sign(task))
        patch.setattr("qcore_flows.ending.send_due", lambda flow_id, due: None)
        queue.settle(Settled(task=task, outcome="failure", final=True, again=None))
    assert batch.status().failed == 1
    assert f"the failed task {ids[0]} cannot be retried" in caplog.text
