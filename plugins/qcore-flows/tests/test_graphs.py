"""Graphs: nodes run when those that they wait for have ended, with their results."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import pytest
from django.db import connection, transaction

from qcore import Discard, Settled
from qcore import task as declare
from qcore.errors import CallError, EnqueueError
from qcore.ledger.clock import Clock
from qcore.runtime import current
from qcore.tasks import result
from qcore.testing.drain import drain
from qcore_flows import Flow, current_flow
from qcore_flows.models import EdgeRow, FlowRow, MemberRow
from qcore_flows.sweep import sweep

ECHO = "chores.kind.echo"
ADD = "chores.kind.add"
DAY = 86_400.0


def take(*args, **kwargs):
    """Return what it was called with."""
    return [list(args), kwargs]


def fail_once():
    """Fail until the test has let it succeed."""
    if not SUCCEEDS:
        raise ValueError("not yet")
    return "at last"


SUCCEEDS: list[bool] = []


@dataclass
class Price:
    amount: int


def name_of_flow():
    return current_flow().name


def give_object():
    return object()


def give_much():
    return "x" * 2000


def states(flow):
    return [one.state for one in flow.members()]


def sent_numbers(queue, *nodes):
    """Return which of these nodes are in the queue, by their numbers."""
    waiting = {task.id for task in queue.tasks()}
    return [node.number for node in nodes if node.id in waiting]


def argument_of(task):
    return json.loads(task.body)[0][0]


# -- order and results ------------------------------------------------------------------------
def test_a_node_as_an_argument_is_its_result(queue):
    flow = Flow("order 17")
    first = flow.add(ADD, 1, 2)
    second = flow.add(ADD, first, 10)
    third = flow.add(
        take, [first, (second, 7)], {"a": {"b": second}}, key=first, plain=None
    )
    assert flow.send() == flow.id
    assert queue.funcs() == ["add"]
    assert drain().succeeded == 3
    assert result(third.id) == [
        [[3, (13, 7)], {"a": {"b": 13}}],
        {"key": 3, "plain": None},
    ]
    assert flow.status().state == "succeeded"


def test_after_without_a_result(queue):
    with Flow() as flow:
        a, b = flow.add(ECHO, "a"), flow.add(ECHO, "b")
        c = flow.add(ECHO, "c", after=[a, b])
        d = flow.add(ECHO, "d").after(c)
    assert sent_numbers(queue, a, b, c, d) == [0, 1]
    queue.end(b.id)
    assert sent_numbers(queue, c) == []
    queue.end(a.id)
    assert sent_numbers(queue, c, d) == [2]
    queue.end(c.id)
    queue.end(d.id)
    assert flow.status().state == "succeeded"


def test_both_parents_end_in_one_batch_of_the_recorder(queue):
    with Flow() as flow:
        a, b = flow.add(ECHO, "a"), flow.add(ECHO, "b")
        c = flow.add(take, a, b)
    queue.end(a.id, b.id, value="v")
    assert sent_numbers(queue, c) == [2]
    for _ in range(2):
        queue.end(a.id, b.id, value="w")
    assert len(queue.tasks()) == 3, "c was sent once"
    assert drain().dropped == 2, "they have ended"
    assert result(c.id) == [["v", "v"], {}], "what was recorded first"


def test_callbacks_and_nodes_know_their_flow(queue):
    with Flow("order 17") as flow:
        node = flow.add(name_of_flow)
        flow.on_success(name_of_flow)
    assert drain().succeeded == 2
    assert result(node.id) == "order 17"
    assert current_flow() is None


def test_an_empty_flow_succeeds_at_once(queue):
    with Flow() as flow:
        flow.on_success(ECHO, "on_success")
    assert queue.funcs() == ["echo"]
    assert flow.status().state == "succeeded"


def test_a_value_that_the_recorder_does_not_have_is_read_from_the_results(queue):
    """An earlier delivery has stored it, and its cluster was killed before it was counted."""
    from qcore.tasks.inline import store_value

    with Flow() as flow:
        a = flow.add(ECHO, 5)
        b = flow.add(ECHO, a)
    task = queue.task(a.id)
    store_value(task, 5)
    queue.settle(Settled(task=task, outcome="success", final=True))
    drain()
    assert result(b.id) == 5


def test_results_of_other_serializers(queue, settings):
    settings.Q_CLUSTER = {
        **settings.Q_CLUSTER,
        "serializer": "pickle",
        "accept_content": ["json", "pickle"],
    }
    with Flow() as flow:
        a = flow.add(ECHO, {1, 2})
        b = flow.add(ECHO, (a, 1))
    drain()
    assert result(b.id) == ({1, 2}, 1)


@declare(typed=True)
def priced(price: Price) -> Price:
    return Price(price.amount + 1)


def test_typed_tasks_take_and_give_data(queue):
    with Flow() as flow:
        first = flow.add(priced, Price(1))
        last = flow.add(priced, first)
    assert drain().succeeded == 2
    assert result(last.id) == {"amount": 3}


# -- failures ---------------------------------------------------------------------------------
def test_stop_skips_all_below(queue):
    with Flow() as flow:
        flow.on_first_failure(ECHO, "on_first_failure")
        flow.on_complete(ECHO, "on_complete")
        flow.on_success(ECHO, "on_success")
        a, other = flow.add(ECHO, "a"), flow.add(ECHO, "other")
        b = flow.add(ECHO, a, on_failure="go on")
        c = flow.add(ECHO, b)
        d = flow.add(take, c, other)
    queue.end(a.id, outcome="crash")
    assert states(flow) == ["crash", "sent", "skipped", "skipped", "skipped"]
    assert flow.status().state == "running"
    queue.end(other.id)
    assert sent_numbers(queue, b, c, d) == []
    status = flow.status()
    assert (status.state, status.failed, status.skipped) == ("failed", 1, 3)
    callbacks = [
        argument_of(task) for task in queue.tasks() if "on_" in str(argument_of(task))
    ]
    assert callbacks == ["on_first_failure", "on_complete"]


def test_go_on_takes_none(queue):
    with Flow() as flow:
        flow.on_success(ECHO, "on_success")
        a = flow.add("chores.kind.fail", on_failure="go on")
        b = flow.add(take, a, [a])
    counts = drain(raises=False)
    assert (counts.failed, counts.succeeded) == (1, 2)
    assert result(b.id) == [[None, [None]], {}]
    status = flow.status()
    assert (status.state, status.failed, status.succeeded) == ("succeeded", 1, 1)


@pytest.mark.parametrize("func", [give_object, give_much])
def test_a_result_that_cannot_be_stored_fails_its_node(queue, settings, func):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "max_result": 1000}
    with Flow() as flow:
        a = flow.add(func)
        flow.add(ECHO, a)
    counts = drain(raises=False)
    assert (counts.failed, counts.succeeded) == (1, 0)
    assert states(flow)[1] == "skipped"
    assert "other nodes take its result" in str(
        result(a.id) or current.results.fetch(a.id).result
    )


def test_a_result_that_nobody_takes_may_be_anything(queue):
    """As that of any task: a note stands in its place."""
    with Flow() as flow:
        a = flow.add(give_object)
        flow.add(ECHO, 1, after=[a])
    assert drain().succeeded == 2
    assert flow.status().state == "succeeded"


def test_a_result_that_is_gone_fails_the_node_that_takes_it(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 5)
        b = flow.add(ECHO, a)
    queue.end(a.id, value=5)
    MemberRow.objects.filter(pk=a.id).update(value=None)
    broker = current.broker()
    broker.purge_queue()
    from qcore_flows.calling import call_member

    row = MemberRow.objects.get(pk=b.id)
    task = current.signer.verify(bytes(row.package))
    with pytest.raises(
        Discard, match=r"the result of echo-\w+, which it takes, was not"
    ):
        call_member(task, [None], {}, ECHO)
    EdgeRow.objects.all().delete()
    with pytest.raises(Discard, match="its graph was deleted, and so were the results"):
        call_member(task, [None], {}, ECHO)


# -- what is refused --------------------------------------------------------------------------
def test_circles_are_refused_before_anything_is_sent(queue):
    flow = Flow("round")
    a = flow.add(ECHO, 1)
    b = flow.add(ADD, a)
    c = flow.add(ECHO, 3, after=[b])
    a.after(c)
    with pytest.raises(
        CallError, match=r"has a circle, of which no node .*echo-.*add-.*echo-"
    ):
        flow.send()
    assert (queue.funcs(), flow.status()) == ([], None)
    own = Flow()
    node = own.add(ECHO, 1)
    node.after(node)
    with pytest.raises(CallError, match="has a circle"):
        own.send()


def test_used_wrongly(queue):
    flow, other = Flow("one"), Flow("other")
    node, foreign = flow.add(ECHO, 1), other.add(ECHO, 1)
    for wrong in (
        lambda: flow.add(ECHO, foreign),
        lambda: flow.add(ECHO, 1, after=[foreign]),
        lambda: node.after(foreign),
    ):
        with pytest.raises(CallError, match="belongs to another graph"):
            wrong()
    with pytest.raises(CallError, match="expected nodes of the graph"):
        flow.add(ECHO, 1, after=["x"])
    with pytest.raises(CallError, match="expected 'stop' or 'go on'"):
        flow.add(ECHO, 1, on_failure="continue")
    with pytest.raises(EnqueueError, match="with a delay"):
        flow.add(ECHO, 1, delay=5)
    with pytest.raises(EnqueueError):
        flow.add(ADD)  # does not take these arguments
    with pytest.raises(EnqueueError, match="Node"):
        flow.add(ECHO, {node})
    with pytest.raises(CallError, match="expected a node"):
        flow.cancel_node(7)


def test_what_was_refused_is_no_node(queue):
    flow = Flow()
    flow.add(ECHO, 1)
    with pytest.raises(CallError):
        flow.add(ECHO, 2, after=["x"])
    flow.send()
    assert flow.status().total == 1


def test_a_flow_is_sent_once(queue):
    flow = Flow()
    node = flow.add(ECHO, 1)
    flow.send()
    for again in (
        flow.send,
        lambda: flow.add(ECHO, 1),
        lambda: node.after(node),
        lambda: flow.on_success(ECHO, 1),
        lambda: Flow.get(flow.id).send(),
    ):
        with pytest.raises(CallError, match="sealed"):
            again()
    assert queue.funcs() == ["echo"]


def test_nothing_is_sent_where_the_block_raises_or_the_transaction_is_rolled_back(
    queue,
):
    with pytest.raises(ZeroDivisionError), Flow() as flow:
        flow.add(ECHO, 1)
        _ = 1 / 0
    assert flow.status() is None
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        with Flow() as flow:
            flow.add(ECHO, 1)
        _ = 1 / 0
    assert (queue.funcs(), flow.status()) == ([], None)


def test_nobody_joins_a_graph(queue):
    from qcore.tasks import async_task

    with Flow() as flow:
        flow.add(ECHO, 1)
    with pytest.raises(EnqueueError, match="a graph is complete when it is sent"):
        async_task(ECHO, 1, q_options={"flow": flow})


def test_a_node_that_cannot_be_sent_when_its_time_comes_fails(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 1)
        b = flow.add(ECHO, a)
        flow.add(ECHO, b)
        d = flow.add(ECHO, a)
    MemberRow.objects.filter(pk=b.id).update(package=b"qc\x01\x00" + bytes(50))
    queue.end(a.id)
    assert states(flow) == ["success", "failure", "skipped", "sent"]
    assert sent_numbers(queue, d) == [3]


# -- by hand ----------------------------------------------------------------------------------
def test_cancel_a_node_that_waits(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 1)
        b = flow.add(ECHO, a)
        flow.add(ECHO, b)
        d = flow.add(ECHO, 2, after=[a])
    assert flow.cancel_node(b) == 1
    assert states(flow) == ["sent", "cancelled", "skipped", "waiting"]
    queue.end(a.id)
    assert sent_numbers(queue, b, d) == [3]


def test_cancel_all_below(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 1, on_failure="go on")
        b = flow.add(ECHO, a, on_failure="go on")
        flow.add(ECHO, b)
    assert flow.cancel_node(a, below=True) == 3
    assert states(flow) == ["sent", "cancelled", "cancelled"]
    queue.end(a.id, outcome="cancelled")
    assert flow.status().pending == 0


def test_cancel_the_flow(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 1)
        flow.add(ECHO, a)
    assert flow.cancel() == 2
    queue.end(a.id, outcome="cancelled")
    assert (flow.status().state, flow.status().pending) == ("cancelled", 0)


def test_retry_of_the_failed_lets_the_skipped_wait_again(queue):
    SUCCEEDS.clear()
    with Flow() as flow:
        flow.on_success(ECHO, "on_success")
        a = flow.add(fail_once)
        b = flow.add(ECHO, a)
        other = flow.add(ECHO, "other")
        c = flow.add(take, b, other)
    drain(raises=False)
    assert states(flow) == ["failure", "skipped", "success", "skipped"]
    SUCCEEDS.append(True)
    assert flow.retry() == 1
    assert states(flow) == ["sent", "waiting", "success", "waiting"]
    drain()
    assert result(c.id) == [["at last", "other"], {}]
    status = flow.status()
    assert (status.state, status.failed, status.skipped) == ("succeeded", 0, 0)


def test_retry_of_a_node_and_all_below(queue):
    with Flow() as flow:
        a = flow.add(ECHO, 1)
        b = flow.add(ECHO, a)
        c = flow.add(ECHO, 2)
    queue.end(a.id, value=1)
    with pytest.raises(CallError, match="runs or waits in its queue"):
        flow.retry_node(a, below=True)
    queue.end(b.id, c.id, value=1)
    assert flow.status().state == "succeeded"
    assert flow.retry_node(a, below=True) == 2
    assert states(flow) == ["sent", "waiting", "success"]
    with pytest.raises(CallError, match="has not ended"):
        flow.retry_node(a)
    assert flow.retry() == 0
    assert flow.retry_node(c.id) == 1
    ids = [one.task_id for one in flow.members()]
    queue.end(ids[0], ids[2], value=7)
    queue.end(ids[1])
    assert flow.status().state == "succeeded"


def test_a_skipped_node_is_not_retried_before_what_it_waits_for(queue):
    """It has no result to begin with; nor has one below two that have failed."""
    with Flow() as flow:
        a = flow.add(ECHO, 1)
        x = flow.add(ECHO, 2)
        b = flow.add(take, a, x)
        c = flow.add(ECHO, b)
    queue.end(a.id, x.id, outcome="failure")
    before = ["failure", "failure", "skipped", "skipped"]
    assert states(flow) == before
    for skipped in (b, c):
        with pytest.raises(CallError, match="was skipped"):
            flow.retry_node(skipped)
        with pytest.raises(CallError, match="was skipped"):
            flow.retry_node(skipped, below=True)
    assert states(flow) == before
    assert flow.retry_node(a, below=True) == 1
    assert states(flow) == ["sent", "failure", "skipped", "skipped"]
    queue.end(next(iter(flow.members())).task_id, value=1)
    assert flow.retry_node(x) == 1
    assert states(flow) == ["success", "sent", "waiting", "waiting"]


def test_a_node_that_is_no_member_is_neither_cancelled_nor_sent_again(queue):
    with Flow() as flow, Flow() as other:
        flow.add(ECHO, 1)
        foreign = other.add(ECHO, 1)
    for act in (flow.retry_node, flow.cancel_node):
        for wrong in (foreign, foreign.id, "nosuch"):
            with pytest.raises(CallError, match="is no member of the graph"):
                act(wrong)
    assert states(other) == ["sent"]


def test_a_skipped_node_stays_skipped_while_another_failure_stops_it(queue):
    with Flow() as flow:
        a, b = flow.add(ECHO, 1), flow.add(ECHO, 2)
        flow.add(take, a, b)
    queue.end(a.id, b.id, outcome="failure")
    assert flow.retry_node(a) == 1
    assert states(flow) == ["sent", "failure", "skipped"]
    queue.end(next(flow.members()).task_id, value=1)
    assert flow.status().state == "failed"
    assert flow.retry() == 1
    assert states(flow) == ["success", "sent", "waiting"]
    drain(raises=False)
    assert flow.status().state == "succeeded"


# -- size -------------------------------------------------------------------------------------
def test_ten_thousand_nodes_without_recursion(queue):
    if connection.vendor != "sqlite":
        pytest.skip("the size is what matters, and not the database")
    flow = Flow("deep")
    first = last = flow.add(ECHO, 0)
    for number in range(1, 10_000):
        last = flow.add(ECHO, number, after=[last])
    flow.send()
    queue.end(first.id, outcome="failure")
    status = flow.status()
    assert (status.state, status.skipped, status.pending) == ("failed", 9_999, 0)


def test_a_wide_flow(queue):
    with Flow("wide") as flow:
        first = flow.add(ECHO, 0)
        leaves = [flow.add(ECHO, n, after=[first]) for n in range(200)]
        flow.add(take, leaves)
    queue.end(first.id)
    assert len(queue.tasks()) == 201
    queue.end(*(leaf.id for leaf in leaves), value=7)
    assert drain().dropped == 201, "they have ended"
    assert flow.status().state == "succeeded"


def test_two_recorders_see_the_last_two_ends_at_once(queue):
    """One of them decides: each callback is sent once, and what waits for both runs once."""
    if connection.vendor == "sqlite":
        pytest.skip("the database of this test is in memory, and belongs to one thread")
    for _ in range(5):
        with Flow() as flow:
            flow.on_complete(ECHO, "on_complete")
            parents = [flow.add(ECHO, n) for n in range(2)]
            child = flow.add(ECHO, 3, after=parents, on_failure="go on")
        tasks = [queue.task(node.id) for node in parents]
        start, failed = threading.Barrier(2), []

        def settle(task, start=start, failed=failed):
            try:
                start.wait(60)
                current.ledger.run(
                    lambda: queue.settle(
                        Settled(task=task, outcome="success", final=True)
                    )
                )
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=settle, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failed == []
        assert sent_numbers(queue, child) == [2], "sent once"
        assert states(flow) == ["success", "success", "sent"]
        queue.end(child.id)
        assert flow.status().state == "succeeded"


# -- the sweep --------------------------------------------------------------------------------
@pytest.mark.fault("L10")
def test_a_lost_node_stops_what_waits_for_it(queue, monkeypatch):
    with Flow() as flow:
        a = flow.add(ECHO, 1)
        flow.add(ECHO, a)
    monkeypatch.setattr(Clock, "offset", 2 * DAY)
    sweep(current.ledger.now())
    assert states(flow) == ["lost", "skipped"]
    assert flow.retry() == 1, "its package is kept"
    monkeypatch.setattr(Clock, "offset", 20 * DAY)
    FlowRow.objects.update(pending=0, completed=1.0)
    sweep(current.ledger.now())
    assert not (FlowRow.objects.exists() or EdgeRow.objects.exists())
    assert not MemberRow.objects.exists()
