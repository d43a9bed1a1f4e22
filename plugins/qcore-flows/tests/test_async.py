"""Batches, graphs and events from code that runs in an event loop."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from asgiref.sync import async_to_sync

import qcore_flows
from qcore.errors import CallError
from qcore_flows import (
    Batch,
    Flow,
    acurrent_batch,
    acurrent_flow,
    aemit,
    current_batch,
    current_flow,
    emit,
)

#: What waits for nobody: it only changes the object.
IN_MEMORY = {"on_success", "on_complete", "on_first_failure", "connect"}
#: Steps run in durable tasks, and these are never `async def`.
IN_TASKS = {
    "atomic_step",
    "sleep_until",
    "step",
    "step_id",
    "wait_event",
    "spawn",
    "wait",
    "wait_all",
}


def methods(kind):
    return [
        name
        for name, found in inspect.getmembers(kind, callable)
        if not name.startswith(("_", "a")) or name in ("add", "add_many")
    ]


@pytest.mark.parametrize("kind", [Batch, Flow])
def test_every_call_that_waits_has_an_async_variant(kind):
    waits = [name for name in methods(kind) if name not in IN_MEMORY]
    assert {"status", "members", "cancel", "retry", "get", "add"} <= set(waits)
    for name in waits:
        if kind is Flow and name == "add":
            continue  # nothing of a graph is sent before `send`
        call, variant = getattr(kind, name), getattr(kind, f"a{name}")
        assert inspect.iscoroutinefunction(variant), name
        assert [*inspect.signature(variant).parameters] == [
            *inspect.signature(call).parameters
        ]


def test_every_function_has_one():
    functions = [
        name
        for name in qcore_flows.__all__
        if inspect.isfunction(getattr(qcore_flows, name))
        and not inspect.iscoroutinefunction(getattr(qcore_flows, name))
    ]
    for name in set(functions) - IN_TASKS:
        assert inspect.iscoroutinefunction(getattr(qcore_flows, f"a{name}")), name


async def _enters(kind):
    with kind("x"):
        pass


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda batch, flow: batch.add("chores.kind.echo", 1), "await aadd("),
        (
            lambda batch, flow: batch.add_many("chores.kind.echo", [1]),
            "await aadd_many(",
        ),
        (lambda batch, flow: batch.status(), "await astatus("),
        (lambda batch, flow: batch.members(), "await amembers("),
        (lambda batch, flow: batch.cancel(), "await acancel("),
        (lambda batch, flow: batch.retry(), "await aretry("),
        (lambda batch, flow: Batch.get(batch.id), "await aget("),
        (lambda batch, flow: flow.send(), "await asend("),
        (lambda batch, flow: flow.cancel_node("x"), "await acancel_node("),
        (lambda batch, flow: flow.retry_node("x"), "await aretry_node("),
        (lambda batch, flow: current_batch(), "await acurrent_batch("),
        (lambda batch, flow: current_flow(), "await acurrent_flow("),
        (lambda batch, flow: emit("paid:1"), "await aemit("),
        (lambda batch, flow: batch.__enter__(), "async with Batch("),
        (lambda batch, flow: flow.__enter__(), "async with Flow("),
    ],
)
@pytest.mark.usefixtures("queue")
def test_in_a_loop_a_call_says_what_to_write(call, said):
    async def view():
        call(Batch("x"), Flow("x"))

    with pytest.raises(CallError) as raised:
        asyncio.run(view())
    assert said in str(raised.value)


def test_a_batch_of_an_async_view(queue):
    async def view():
        async with Batch("import 7") as batch:
            batch.on_complete("chores.kind.echo", "done")
            first = await batch.aadd("chores.kind.add", 1)
            rest = await batch.aadd_many("chores.kind.add", [2, 3])
        found = await Batch.aget(batch.id)
        members = [one.task_id for one in await found.amembers()]
        return batch, members == [first, *rest], (await found.astatus()).state

    batch, is_whole, state = async_to_sync(view)()
    assert (is_whole, state) == (True, "running")
    assert queue.funcs() == ["add", "add", "add"]
    assert async_to_sync(batch.acancel)() == 3
    assert async_to_sync(batch.aretry)() == 0
    assert async_to_sync(acurrent_batch)() is None


def test_a_block_that_raises_sends_nothing(queue):
    async def view():
        async with Batch() as batch:
            await batch.aadd("chores.kind.add", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async_to_sync(view)()
    assert queue.tasks() == []


def test_a_graph_of_an_async_view(queue):
    async def view():
        async with Flow("order 17") as flow:
            a = flow.add("chores.kind.echo", 1)
            b = flow.add("chores.kind.echo", a)
        sent = Flow("two")
        sent.add("chores.kind.echo", 1)
        await sent.asend()
        return flow, await flow.acancel_node(b), await acurrent_flow()

    flow, cancelled, running = async_to_sync(view)()
    assert (flow.status().total, cancelled, running) == (2, 1, None)
    assert queue.funcs() == ["echo", "echo"]


def test_an_event_of_an_async_view(queue):
    assert async_to_sync(aemit)("paid:17", {"sum": 3}) is True
    assert emit("paid:17") is False
