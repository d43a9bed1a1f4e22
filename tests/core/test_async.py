"""Calls from code that runs in an event loop: the async variants, and the errors of the other calls."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from chores import kind
from django.db import connections, transaction
from django.http import JsonResponse
from django.test import AsyncClient, override_settings
from django.urls import path

import qcore.tasks as api
from qcore.errors import CallError, EnqueueError
from qcore.results.memory import MemoryStore
from qcore.runtime import current
from qcore.signals import pre_enqueue
from qcore.tasks import (
    AsyncTask,
    Chain,
    Iter,
    acount_group,
    adelete,
    adelete_group,
    aenqueue,
    aenqueue_chain,
    aenqueue_iter,
    aenqueue_many,
    afetch,
    afetch_group,
    aqueue_size,
    aresult,
    aresult_group,
    aschedule,
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    count_group,
    delete,
    delete_group,
    fetch,
    fetch_group,
    queue_size,
    result,
    result_group,
    schedule,
)
from qcore.testing.drain import drain, perform

MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}
#: Longer than any test waits: milliseconds.
LONG = 30_000


async def add_one(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


# -- names ---------------------------------------------------------------------------------
def variant_of(name: str) -> str:
    """The rule of the manual."""
    modern = {"async_task": "enqueue", "async_task_many": "enqueue_many"}
    return f"a{modern.get(name, name.replace('async_', 'enqueue_'))}"


#: What waits for nobody: it looks at this process, or writes to the worker's own socket.
WAITS_FOR_NOBODY = {"current_task", "progress"}
SYNC = [
    name
    for name in api.__all__
    if name not in WAITS_FOR_NOBODY
    and inspect.isfunction(getattr(api, name))
    and not inspect.iscoroutinefunction(getattr(api, name))
]


@pytest.mark.parametrize("name", SYNC)
def test_every_call_has_a_twin_of_the_same_arguments(name):
    call, variant = getattr(api, name), getattr(api, variant_of(name))
    assert inspect.iscoroutinefunction(variant)
    mine = [p for p in inspect.signature(call).parameters if p != "broker"]
    assert [p for p in inspect.signature(variant).parameters if p != "broker"] == mine


def test_the_modern_names_are_the_same_calls():
    assert api.enqueue is async_task
    assert api.enqueue_many is async_task_many
    assert api.enqueue_iter is async_iter
    assert api.enqueue_chain is async_chain


@pytest.mark.parametrize("kind_of", [Iter, Chain, AsyncTask])
def test_objects_have_twins_of_what_waits(kind_of):
    for name in ("run", "result", "fetch", "current", "result_group", "fetch_group"):
        if hasattr(kind_of, name):
            assert inspect.iscoroutinefunction(getattr(kind_of, f"a{name}"))


# -- the others in a loop ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "variant"),
    [
        (lambda: async_task("chores.kind.add", 1), "aenqueue"),
        (lambda: async_task("chores.kind.add", 1, sync=True), "aenqueue"),
        (lambda: async_task_many("chores.kind.add", [1]), "aenqueue_many"),
        (lambda: async_iter("chores.kind.add", [1]), "aenqueue_iter"),
        (lambda: async_iter("chores.kind.add", []), "aenqueue_iter"),
        (lambda: async_chain(["chores.kind.add_nothing"]), "aenqueue_chain"),
        (lambda: schedule("chores.kind.add", 1), "aschedule"),
        (queue_size, "aqueue_size"),
        (lambda: result("x"), "aresult"),
        (lambda: fetch("x", wait=LONG), "afetch"),
        (lambda: fetch("x", cached=True), "afetch"),
        (lambda: delete("x"), "adelete"),
        (lambda: result_group("x"), "aresult_group"),
        (lambda: fetch_group("x"), "afetch_group"),
        (lambda: count_group("x"), "acount_group"),
        (lambda: delete_group("x"), "adelete_group"),
        (lambda: AsyncTask("chores.kind.add", 1).run(), "aenqueue"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_in_a_loop_a_call_says_what_to_call(call, variant):
    async def view():
        call()

    with pytest.raises(CallError, match=rf"Write: await {variant}\(\.\.\.\)"):
        asyncio.run(view())


def test_what_is_in_this_process_blocks_nobody(qcore_queue, monkeypatch):
    """A broker and a store in memory may be used from a loop."""
    monkeypatch.setattr(current, "store", lambda cached: MemoryStore(current.conf))

    async def view():
        return async_task("chores.kind.add", 1), queue_size(), fetch("nobody")

    task_id, size, found = asyncio.run(view())
    assert (len(task_id), size, found) == (32, 1, None)


@pytest.mark.django_db(transaction=True)
def test_a_notebook_may_allow_it(monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

    async def cell():
        return fetch("nobody")

    assert asyncio.run(cell()) is None


@pytest.mark.django_db
def test_a_call_that_was_refused_leaves_the_broker_to_others():
    """A broker that is made in the loop would keep the loop's own connection."""
    current.reset()

    async def view():
        with pytest.raises(CallError):
            async_task("chores.kind.add", 1)

    asyncio.run(view())
    async_task("chores.kind.add", 1)
    assert queue_size() == 1


# -- the async variants -----------------------------------------------------------------------------
@pytest.mark.django_db
class TestTwins:
    """With the project's broker and store; the thread is that of the test."""

    def test_one_task(self):
        async def view():
            task_id = await aenqueue(kind.add, 1, right=2, group="g", task_name="n")
            assert await aqueue_size() == 1
            await sync_to_async(drain)()
            record = await afetch(task_id)
            assert (await aresult("n"), record.result) == (3, 3)
            assert await acount_group("g") == 1
            assert await aresult_group("g", wait=LONG, count=1) == [3]
            assert [r.id for r in await afetch_group("g")] == [task_id]
            assert await adelete(task_id)
            assert await adelete_group("g") == 0
            return await afetch(task_id)

        assert async_to_sync(view)() is None

    def test_many_tasks(self):
        async def view():
            ids = await aenqueue_many("chores.kind.add", [1, (2, 3)])
            joined = await aenqueue_iter("chores.kind.add", [4, 5])
            group = await aenqueue_chain([kind.add_nothing, (kind.add, (6,))])
            await sync_to_async(drain)()
            return (
                [await aresult(id) for id in ids],
                await aresult(joined),
                await aresult_group(group, count=2),
            )

        assert async_to_sync(view)() == ([1, 5], [4, 5], [0, 6])

    def test_objects(self):
        async def view():
            one = AsyncTask(kind.add, 1, group="g")
            calls = Iter("chores.kind.add", [1, 2])
            chain = Chain([kind.add_nothing, kind.add_nothing])
            assert (await one.afetch(), await calls.aresult()) == (None, None)
            assert await chain.acurrent() is None
            await one.arun()
            await calls.arun()
            await chain.arun()
            assert await chain.acurrent() == 1
            await sync_to_async(drain)()
            assert await one.aresult(LONG) == 1
            assert len(await one.afetch_group()) == 1
            assert await one.aresult_group() == [1]
            return await calls.aresult(), await chain.aresult(), await chain.acurrent()

        assert async_to_sync(view)() == ([1, 2], [0, 0], 3)

    def test_a_schedule(self):
        async def view():
            return await aschedule("chores.kind.add", 1, name="async")

        assert async_to_sync(view)().name == "async"

    def test_wrong_arguments_are_refused_as_by_the_call(self):
        async def view():
            with pytest.raises(EnqueueError, match="option 'group' is 5"):
                await aenqueue(kind.add, 1, group=5)
            with pytest.raises(EnqueueError, match="missing a required"):
                await aenqueue(kind.add)
            with pytest.raises(CallError, match="wait is 'x'"):
                await aresult("id", wait="x")
            with pytest.raises(CallError, match="count is -1"):
                await afetch_group("g", count=-1)
            return await afetch("\0")

        assert async_to_sync(view)() is None

    def test_the_loop_goes_on_while_a_result_is_waited_for(self):
        async def view():
            task_id = await aenqueue(kind.add, 1)
            waiting = asyncio.create_task(aresult(task_id, wait=LONG))
            turns = 0
            while turns < 20:
                await asyncio.sleep(0.005)
                turns += 1
            assert not waiting.done()
            await sync_to_async(drain)()
            return await waiting

        assert async_to_sync(view)() == 1

    def test_a_wait_ends_and_can_be_cancelled(self):
        async def view():
            began = time.monotonic()
            assert await aresult("nobody", wait=50) is None
            assert time.monotonic() - began >= 0.05
            waiting = asyncio.create_task(aresult("nobody", wait=-1))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        async_to_sync(view)()


@pytest.mark.django_db
def test_context_variables_are_those_of_the_caller():
    user = contextvars.ContextVar("user", default="nobody")
    seen = []

    def receive(sender, task, **_):
        seen.append(user.get())

    async def view():
        user.set("ann")
        await aenqueue(kind.add, 1)

    pre_enqueue.connect(receive)
    try:
        async_to_sync(view)()
    finally:
        pre_enqueue.disconnect(receive)
    assert seen == ["ann"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("settings", [MEMORY, None], ids=["outside", "project"])
def test_a_transaction_under_sync_to_async_is_joined(settings):
    """What calls an async variant inside it, by way of async_to_sync, is in it too."""
    sizes = []

    @sync_to_async
    def place_order(fails):
        with transaction.atomic():
            async_task(kind.add, 1)
            async_to_sync(aenqueue)(kind.add, 2)
            sizes.append(queue_size())
            if fails:
                raise ZeroDivisionError

    async def view():
        with pytest.raises(ZeroDivisionError):
            await place_order(True)
        after = await aqueue_size()
        await place_order(False)
        return after, await aqueue_size()

    with override_settings(**({"Q_CLUSTER": settings} if settings else {})):
        current.broker().purge_queue()
        assert async_to_sync(view)() == (0, 2)
        assert sizes == ([0, 0] if settings else [2, 2])
        current.broker().purge_queue()


# -- views -----------------------------------------------------------------------------------
async def order_view(request):
    task_id = await aenqueue("chores.kind.add", 20, 22, task_name="of the view")
    await sync_to_async(drain)()
    return JsonResponse({"id": task_id, "result": await aresult(task_id, wait=LONG)})


urlpatterns = [path("order/", order_view)]


@pytest.mark.django_db
@override_settings(ROOT_URLCONF=__name__)
def test_an_async_view():
    response = async_to_sync(AsyncClient().get)("/order/")
    assert response.status_code == 200
    assert response.json()["result"] == 42
    assert fetch("of the view").id == response.json()["id"]


# -- tasks -----------------------------------------------------------------------------------
threads: list[threading.Thread] = []


async def looks_around() -> list[object]:
    """Use the database from a coroutine, and tell of the thread that did it."""
    counted = await sync_to_async(count_group)("nobody")
    await sync_to_async(lambda: threads.append(threading.current_thread()))()
    return [counted, await acount_group("nobody")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("qcore_queue")
def test_a_coroutine_leaves_neither_a_thread_nor_a_connection(monkeypatch):
    threads.clear()
    closed = []
    close_all = connections.close_all
    monkeypatch.setattr(
        connections, "close_all", lambda: (closed.append(True), close_all())
    )
    assert perform(looks_around) == [0, 0]
    (thread,) = threads
    assert not thread.is_alive()
    assert thread is not threading.main_thread()
    assert closed == [True]


def test_a_coroutine_that_uses_no_thread_starts_none(qcore_queue):
    before = threading.active_count()
    assert perform(add_one, 1) == 2
    assert threading.active_count() == before
