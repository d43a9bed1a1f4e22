"""Durable tasks: they write down each body that runs, and in which order."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import signal
import threading

from chores.ledger import Ledger, note

from qcore import task
from qcore_flows import (
    RAISE,
    ChildFailed,
    EventTimeout,
    atomic_step,
    sleep_until,
    spawn,
    step,
    step_id,
    wait,
    wait_all,
    wait_event,
)

#: What has run, in this process.
RAN: list[object] = []


def ran(what, value=None):
    RAN.append(what)
    return value


@task(durable=True)
def onboard(name: str) -> str:
    user = step("create", ran, "create", f"user {name}")
    sleep_until("two weeks", dt.timedelta(days=14))
    step("remind", ran, "remind")
    answer = wait_event("reply", f"reply:{name}", dt.timedelta(days=7), default="none")
    return step("close", ran, "close", f"{user}: {answer}")


@task(durable=True)
def strict(name: str) -> str:
    try:
        return wait_event("reply", f"reply:{name}", 60)
    except EventTimeout:
        return "too late"


@task(durable=True, max_attempts=2)
def in_steps(count: int) -> list[object]:
    return [
        step("part", ran, number, number * 2, key=number) for number in range(count)
    ]


@task(durable=True)
def twice_named() -> None:
    step("same", ran, 1)
    step("same", ran, 2)


@task(durable=True)
def renamed() -> object:
    return step("new", ran, "new", 7, was="old")


@task(durable=True)
def swallowing() -> str:
    with contextlib.suppress(BaseException):
        sleep_until("nap", 60)
    return "done"


@task(durable=True)
def swallowing_twice() -> None:
    try:
        sleep_until("nap", 60)
    except BaseException:  # noqa: BLE001 - that is what it shows
        step("more", ran, "more")


@task(durable=True)
def unstorable() -> None:
    step("socket", object)


@task(durable=True)
def large() -> None:
    step("large", "x".__mul__, 3_000_000)


@task(durable=True)
def nested() -> None:
    step("outer", lambda: step("inner", ran, 1))


@task(durable=True)
def in_transaction() -> None:
    from django.db import transaction

    with transaction.atomic():
        step("inside", ran, 1)


@task(durable=True)
def in_thread() -> None:
    import contextvars

    raised: list[BaseException] = []

    def work():
        try:
            step("thread", ran, 1)
        except BaseException as error:  # noqa: BLE001 - of any kind
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
    thread.start()
    thread.join()
    raise raised[0]


@task(durable=True)
def in_loop() -> None:
    async def work():
        step("loop", ran, 1)

    asyncio.run(work())


@task(durable=True)
async def coroutine() -> None:
    pass


@task(durable=True)
def identified() -> list[str]:
    return [step("id", step_id, key=number) for number in range(2)]


@task(durable=True, version=2, accepts={1})
def second_version() -> object:
    return step("only", ran, "only", 2)


@task(durable=True, version=3)
def third_version() -> object:
    return step("only", ran, "only", 3)


@task(durable=True)
def with_rows(name: str) -> int:
    return atomic_step("rows", add_row, name)


def add_row(name):
    from qcore.models import QueuePause

    ran(name)
    QueuePause.objects.create(queue=name, at=0.0)
    return QueuePause.objects.count()


@task(durable=True)
def survive(key: str) -> list[object]:
    """Die in the second step, once; sleep a moment; wait for an event."""
    step("first", note, key, "first")
    step("second", die_once, key)
    sleep_until("nap", 0.2)
    answer = wait_event("reply", f"reply:{key}")
    return [answer, step("third", note_once, key)]


def die_once(key):
    note(key, "second")
    if len(Ledger.of_this_process().entries(key, "second")) == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def note_once(key):
    note(key, "third")
    return 3


# -- tasks that spawn tasks ------------------------------------------------------------
def triple(number):
    ran(("triple", number))
    if number < 0:
        raise ValueError("below zero")
    return None if number == 0 else number * 3


@task(durable=True, max_attempts=1)
def fan_out(numbers, timeout=None, default=RAISE, on_failure="stop", delay=0) -> object:
    options = {"max_attempts": 1, "delay": delay}
    ids = [
        spawn("child", triple, number, key=number, q_options=options)
        for number in numbers
    ]
    found = wait_all("children", ids, timeout, default, on_failure=on_failure)
    return step("close", ran, "close", found)


@task(durable=True, max_attempts=1)
def spawn_one(number, name="chores.durable.triple") -> object:
    try:
        return wait("end", spawn("one", name, number, max_attempts=1))
    except ChildFailed as error:
        return sorted(error.outcomes.values())


@task(durable=True, max_attempts=1)
def spawn_sleeper(name) -> object:
    return wait("end", spawn("sleeper", onboard, name))


@task(durable=True, max_attempts=1)
def wait_for_strange(ids) -> None:
    wait_all("strange", ids)


@task(durable=True, max_attempts=1)
def twice_waited(number) -> list[object]:
    """Wait for one task until a time is over, and then as long as it takes."""
    id = spawn("one", triple, number, delay=60)
    first = wait("first", id, 10, "not yet")
    return [first, wait("second", id)]


def long_text(length):
    return "x" * length


@task(durable=True)
def survive_children(key: str) -> object:
    """Spawn two tasks, of which one kills its worker, once."""
    ids = [
        spawn("child", child_of, key, number, key=number, max_attempts=3)
        for number in (1, 2)
    ]
    return wait_all("children", ids)


def child_of(key, number):
    if number == 1:
        note(key, "first")
    else:
        die_once(key)
    return number


@task(durable=True)
def eventful(key: str) -> list[object]:
    """Do everything that a durable task can do, once."""
    first = step("first", ran, "first", "first")
    sleep_until("nap", dt.timedelta(days=1))
    ids = [spawn("child", triple, number, key=number) for number in (1, 2)]
    found = wait_all("children", ids)
    answer = wait_event("answer", f"answer:{key}")
    return [first, found, answer, step("last", ran, "last", "last")]


@task(durable=True)
def impatient(name: str) -> object:
    return wait_event("reply", f"reply:{name}", 60)


@task(durable=True, max_attempts=1)
def spawn_and_fail(number) -> None:
    wait("end", spawn("one", triple, number))
    raise ConnectionError("away")
