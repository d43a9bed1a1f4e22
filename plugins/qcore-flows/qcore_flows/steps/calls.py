"""What a durable task calls: steps, sleeps and waits.

Each call first looks whether its name is stored. So a task that goes on after a crash, or
after weeks, runs from its beginning and skips what it has done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from qcore.running import can_suspend
from qcore.testing.interrupts import reached

from .errors import EventTimeout, StepError
from .events import event_name, lock_event
from .memory import Remembered
from .moments import due_at
from .names import digest, name_of, shown
from .run import DurableRun, current_run, running_step_id, value_of
from .term import Term
from .words import RAISE, TOO_LATE, Kind

P = ParamSpec("P")
R = TypeVar("R")

Key = str | int | None


def step(
    name: str,
    function: Callable[..., R],
    /,
    *args: Any,
    key: Key = None,
    was: str | None = None,
    **kwargs: Any,
) -> R:
    """Do something once, and remember its value.

    If the run has a value of this name, it is returned, and the function is not called.
    Else the function is called, and its value is stored at once, before anything else
    happens. After a crash between the two, it is called again: see ``step_id``.

    Args:
        name: of the step, unique in the run.
        function: its body; it must not call steps itself.
        args: its positional arguments.
        key: tells the calls of a loop apart.
        was: the name that the step had in an earlier version of the function.
        kwargs: its keyword arguments, but ``key`` and ``was``.

    Returns:
        The value as it was stored: what comes out of the serializer of the project.

    Raises:
        StepError: the name is used twice, the value cannot be stored, or a step cannot be
            made here: in another thread, in a transaction, outside of a durable task.
        LeaseLost: another worker has begun the task since; nothing was stored.
        Exception: what the function raised; nothing was stored.
    """
    run = current_run("step")
    whole = name_of("step", name, key)
    known = run.recall(whole, was, Kind.STEP, Kind.ATOMIC)
    if known is None:
        reached(whole, "before")
        began = run.clock.now()
        with run.inside(whole):
            value = value_of(function, args, kwargs, whole)
        reached(whole, "unsaved")

        def write() -> Remembered:
            now = run.clock.now()
            run.memory.fenced(now)
            return run.memory.add(
                whole, Kind.STEP, began, done=now, content=value.content,
                value=value.data,
            )  # fmt: skip

        known = run.store(whole, write)
        reached(whole, "after")
    return cast("R", known.load())


def atomic_step(
    name: str,
    function: Callable[..., R],
    /,
    *args: Any,
    key: Key = None,
    was: str | None = None,
    **kwargs: Any,
) -> R:
    """Do something in the ledger's database once, and remember its value with it.

    What the function writes there and the value of the step are committed together: after a
    crash, both are there, or none. Where another transaction goes first, the function is
    called again, and what it has written is undone before that.

    Args, Returns, Raises: as ``step``.
    """
    run = current_run("atomic_step")
    whole = name_of("atomic_step", name, key)
    known = run.recall(whole, was, Kind.ATOMIC, Kind.STEP)
    if known is None:
        reached(whole, "before")
        began = run.clock.now()

        def write() -> Remembered:
            run.memory.fenced(began)
            with run.inside(whole):
                value = value_of(function, args, kwargs, whole)
            reached(whole, "unsaved")
            return run.memory.add(
                whole, Kind.ATOMIC, began, done=run.clock.now(), content=value.content,
                value=value.data,
            )  # fmt: skip

        known = run.store(whole, write)
        reached(whole, "after")
    return cast("R", known.load())


def step_id() -> str:
    """Return an id of the step whose body runs: the same each time that it runs.

    For services that take an idempotency key: they do once what they are asked twice.

    Returns:
        32 hexadecimal digits.

    Raises:
        StepError: no body of a step runs here.
    """
    return running_step_id()


def sleep_until(
    name: str,
    when: dt.datetime | dt.timedelta | float,
    *,
    key: Key = None,
    was: str | None = None,
) -> None:
    """Go on at a moment; until then, the task is a row and keeps no worker.

    Args:
        name: of the sleep, unique in the run.
        when: a datetime; or a timedelta or seconds, which count from the first call.
        key: tells the calls of a loop apart.
        was: the name that it had in an earlier version of the function.

    Raises:
        StepError: as ``step``; or the task cannot wait here, because ``sync`` runs it.
        LeaseLost: another worker has begun the task since.
        Suspend: (no ``Exception``) the task leaves its worker.
    """
    run = current_run("sleep_until")
    whole = name_of("sleep_until", name, key)
    known = run.recall(whole, was, Kind.SLEEP)
    if known is None:
        reached(whole, "before")
        now = run.clock.now()
        due = due_at(when, now)
        if due > now:
            refuse_inline("sleep_until", whole)

        def write() -> Remembered:
            if due <= now:
                run.memory.fenced(now)
                return run.memory.add(whole, Kind.SLEEP, now, due=due, done=now)
            run.memory.fenced(now, waits_for=shown(whole), due=due)
            return run.memory.add(whole, Kind.SLEEP, now, due=due)

        known = run.store(whole, write)
        if known.done is None:
            run.suspend(whole, due)
    if known.done is not None:
        return
    assert known.due is not None
    if run.clock.now() < known.due:
        refuse_inline("sleep_until", whole)
        run.wait_again(whole, known.due)
        run.suspend(whole, known.due)
    _finish(run, whole, known)


def wait_event(
    name: str,
    event: str,
    timeout: dt.timedelta | float | None = None,
    default: Any = RAISE,
    *,
    key: Key = None,
    was: str | None = None,
) -> Any:
    """Wait until an event has happened; until then, the task is a row and keeps no worker.

    Args:
        name: of the wait, unique in the run.
        event: what is waited for: ``f"paid:{order_id}"``; see ``emit``.
        timeout: seconds or a timedelta from the first call; None: as long as it takes.
        default: what is returned if the event does not happen in time. It can be anything
            that can be stored.
        key: tells the calls of a loop apart.
        was: the name that it had in an earlier version of the function.

    Returns:
        The payload of the event, or the default. Either is stored: an event that happens
        after its time is too late for this run.

    Raises:
        EventTimeout: the event did not happen in time, and there is no default.
        StepError, LeaseLost, Suspend: as ``sleep_until``.
    """
    run = current_run("wait_event")
    whole = name_of("wait_event", name, key)
    wanted = event_name(event)
    term = Term.of(timeout, default, whole)
    known = run.recall(whole, was, Kind.WAIT)
    known = run.wait(whole, known, partial(_look, run, whole, wanted, known, term))
    if known.content == TOO_LATE:
        raise EventTimeout(f"the event {wanted!r} did not happen in time ({whole!r})")
    return known.load()


def _look(
    run: DurableRun,
    name: str,
    event: str,
    known: Remembered | None,
    term: Term,
) -> Remembered:
    """Take what has happened, or register to be woken; in one transaction."""
    now = run.clock.now()
    row = lock_event(event, now)
    due = term.due(known, now)
    columns: dict[str, Any] = {"event": digest(event), "due": due, "done": None}
    if row.emitted is not None:
        columns |= {"content": row.content, "value": row.value}
        columns |= {"event": None, "done": now}
    elif due is not None and due <= now:
        columns |= {"event": None, "done": now, **term.over()}
    else:
        refuse_inline("wait_event", name)
    if columns["done"] is None:
        run.memory.fenced(now, waits_for=shown(name), due=due)
    else:
        run.memory.fenced(now)
    if known is None:
        return run.memory.add(name, Kind.WAIT, now, **columns)
    return run.memory.change(known, **columns)


def _finish(run: DurableRun, name: str, known: Remembered) -> None:
    """Store that a sleep is over."""

    def write() -> Remembered:
        now = run.clock.now()
        run.memory.fenced(now)
        return run.memory.change(known, done=now)

    run.store(name, write)
    reached(name, "after")


def refuse_inline(word: str, name: str) -> None:
    """Refuse to wait where nobody would wake the task.

    Raises:
        StepError: the task runs in its caller.
    """
    if not can_suspend():
        raise StepError(
            f"{word}({name!r}) cannot wait here: the task runs in its caller ('sync', or"
            " perform()). In a test, send it and let time pass with the fixture"
            " qcore_clock"
        )
