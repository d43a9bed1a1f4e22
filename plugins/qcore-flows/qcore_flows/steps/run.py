"""The run of a durable task in this worker: opened, asked for steps, closed.

Runs in: a worker; and in the caller, where ``sync`` or a test runs the task.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn, Self

from django.db import connections

from qcore.errors import LeaseLost, Suspend
from qcore.running import can_suspend, got_further
from qcore.tasks.functions import loaded
from qcore.testing.interrupts import reached

from .errors import StepError
from .memory import Memory, Remembered
from .moments import RunClock
from .names import digest, shown
from .opening import Opened, close_inline, let_go, open_run
from .options import NO_COROUTINE
from .renewal import RENEWAL
from .values import Value, encode
from .words import PLUGIN, Kind

if TYPE_CHECKING:
    from qcore import Task

logger = logging.getLogger("qcore.flows")

#: Steps that a run may store.
MOST_STEPS = 10_000

_RUN: ContextVar[DurableRun | None] = ContextVar("qcore_flows_run", default=None)


def current_run(word: str) -> DurableRun:
    """Return the run that this code runs in.

    Args:
        word: what is called, for the error.

    Raises:
        StepError: it runs in none, or not in its thread.
    """
    run = _RUN.get()
    if run is None:
        raise StepError(
            f"{word}() is called outside of a durable task. Write @task(durable=True) above"
            " the function, and send it; a thread of its own is outside, too"
        )
    run.check(word)
    return run


def running_step_id() -> str:
    """Return the id of the step whose body runs here; see ``step_id``.

    Raises:
        StepError: none does.
    """
    run = _RUN.get()
    found = None if run is None else run.step_id
    if found is None:
        raise StepError("step_id() is called outside of the body of a step")
    return found


class DurableRun:
    """A durable task that runs here, as a context manager around it.

    Args:
        task: that is about to run.

    Raises:
        StepError: its function is an ``async def``.
        LeaseLost, TaskStopped: it cannot run here now.
        TooManyRuns: it was begun too often.
        Suspend: its function does not accept its version.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        if inspect.iscoroutinefunction(loaded(task.func)):
            raise StepError(f"{task.func}: {NO_COROUTINE}")
        opened: Opened = open_run(task)
        self.memory = Memory(opened.ledger, task.id, opened.start)
        if not opened.is_new:
            self.memory.read()
        self.clock = RunClock(opened.now)
        self._thread = get_ident()
        self._depths = _depths()
        self._seen: set[str] = set()
        self._inside: str | None = None
        self._suspension: Suspend | None = None
        self._waits_at = ""
        self._lost: LeaseLost | None = None

    @property
    def id(self) -> str:
        """The id of its task."""
        return self._task.id

    # -- around the task -------------------------------------------------------------
    def __enter__(self) -> Self:
        self._token = _RUN.set(self)
        RENEWAL.keep(self._task.id, self.memory.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: object,
    ) -> None:
        RENEWAL.leave()
        _RUN.reset(self._token)
        if self._lost is not None and error is not self._lost:
            raise self._lost  # whoever has it now goes on
        suspension = self._suspension
        if suspension is not None and error is not suspension:
            self._let_go()
            raise StepError(
                f"the task has caught its suspension at {self._waits_at!r}: {_HOW}"
            ) from error
        if isinstance(error, LeaseLost) or error is suspension is not None:
            return  # another has it, or it is settled as suspended
        if not can_suspend():
            close_inline(self.memory, error)
        elif error is not None:
            self._let_go()

    def _let_go(self) -> None:
        let_go(self.memory)

    # -- what every call asks ----------------------------------------------------------
    def check(self, word: str) -> None:
        """Refuse a durable call where it could not be kept.

        Raises:
            StepError: with the reason.
            LeaseLost: another worker has begun the task since.
        """
        if self._lost is not None:
            raise self._lost
        if get_ident() != self._thread:
            raise StepError(f"{word}() must be called in the thread of its task")
        if self._suspension is not None:
            raise StepError(
                f"{word}() is called although the task is suspended at"
                f" {self._waits_at!r}: {_HOW}"
            )
        if self._inside is not None:
            raise StepError(f"{word}() is called inside the step {self._inside!r}")
        if _in_event_loop():
            raise StepError(f"{word}() is called in an event loop: {NO_COROUTINE}")
        for alias, depth in _depths().items():
            if depth > self._depths.get(alias, 0):
                raise StepError(
                    f"{word}() is called in a transaction of the database {alias!r}, which"
                    " would be undone or left open. Call it outside of atomic(), or use"
                    " atomic_step"
                )

    def recall(self, name: str, was: str | None, *kinds: Kind) -> Remembered | None:
        """Return what is stored under a name; the name is used up by it.

        Args:
            name: of the step, with its key.
            was: the name that the step had in earlier versions.
            kinds: what it may be.

        Raises:
            StepError: the name was used before in this run, or is that of something else.
        """
        names = [name] if was is None else [name, was]
        for one in names:
            if one in self._seen:
                raise StepError(
                    f"the name {one!r} is used twice in one run. Give each step a name of"
                    " its own; in a loop, add key=..."
                )
        self._seen.update(names)
        found = next(filter(None, map(self.memory.find, names)), None)
        if found is not None and found.kind not in kinds:
            raise StepError(
                f"the name {name!r} belongs to a {found.kind} that this run has stored, and"
                f" not to a {kinds[0]}. Give it another name, or raise the version of the"
                " task"
            )
        if found is None and len(self.memory) >= MOST_STEPS:
            raise StepError(
                f"the run has stored {MOST_STEPS:,} steps, which is the limit. Do more in"
                " each step, or send the rest as tasks of their own"
            )
        return found

    # -- storing -----------------------------------------------------------------------
    def store(self, name: str, write: Callable[[], Remembered]) -> Remembered:
        """Write a step in a transaction; return it.

        Args:
            name: of the step.
            write: is called in the transaction, perhaps several times.

        Raises:
            LeaseLost: another worker has begun the task since.
        """
        try:
            step = self.memory.ledger.run(write)
        except LeaseLost as lost:
            self._lost = lost
            raise
        self.memory.keep(name, step)
        got_further()
        return step

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Say that the body of a step runs."""
        self._inside = name
        try:
            yield
        finally:
            self._inside = None

    @property
    def step_id(self) -> str | None:
        """The id of the step whose body runs, or None."""
        if self._inside is None:
            return None
        return digest(f"{self._task.id} {self._inside}")

    def wait(
        self,
        name: str,
        known: Remembered | None,
        look: Callable[[], Remembered],
    ) -> Remembered:
        """Return the stored end of a wait; leave the worker where it is not over.

        Args:
            name: of the wait.
            known: what is stored of it.
            look: writes the end of the wait, or that it goes on, in a transaction.

        Raises:
            Suspend: it goes on.
            LeaseLost: another worker has begun the task since.
        """
        if known is not None and known.done is not None:
            return known
        reached(name, "before")
        found = self.store(name, look)
        if found.done is None:
            self.suspend(name, found.due)
        reached(name, "after")
        return found

    def suspend(self, name: str, due: float | None) -> NoReturn:
        """Leave the worker until a moment, or until something happens.

        Raises:
            Suspend: always.
        """
        self._waits_at = name
        after = None if due is None else max(0.0, due - self.clock.now())
        reached(name, "after")  # first: who is interrupted here has not been suspended
        self._suspension = Suspend(PLUGIN, after=after)
        raise self._suspension

    def wait_again(self, name: str, due: float | None) -> None:
        """Write what the run waits for, once more: it was woken too early."""
        try:
            self.memory.ledger.run(
                lambda: self.memory.fenced(
                    self.clock.now(), waits_for=shown(name), due=due
                )
            )
        except LeaseLost as lost:
            self._lost = lost
            raise


def value_of(function: Callable[..., Any], args: Any, kwargs: Any, name: str) -> Value:
    """Call the body of a step, and return its value as it is stored.

    Raises:
        StepError: it returned a coroutine or what cannot be stored.
        Exception: what the function raised.
    """
    value = function(*args, **kwargs)
    if inspect.iscoroutine(value):
        value.close()
        raise StepError(
            f"the step {name!r} returned a coroutine, of which nothing has run. Pass a"
            " function that calls asyncio.run()"
        )
    return encode(value, f"the step {name!r}")


#: How a task can catch its suspension.
_HOW = (
    "an 'except BaseException:' or a bare 'except:' has caught it, or a 'finally' returns."
    " Let it pass"
)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _depths() -> dict[str, int]:
    """Return how deep this thread is in transactions, by the aliases of its connections."""
    return {
        connection.alias: len(connection.savepoint_ids) + connection.in_atomic_block
        for connection in connections.all(initialized_only=True)
    }
