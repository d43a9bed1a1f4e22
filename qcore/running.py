"""The task that this code runs in, for the task itself and for the log.

It is kept in a context variable, so that coroutines have it, and code that runs under
``sync`` in a thread of a web server has only its own. A thread that a task starts itself
begins without; ``contextvars.copy_context().run`` hands it on.
"""

from __future__ import annotations

import datetime as dt
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

from .envelope import choose

if TYPE_CHECKING:
    from .conf import Conf
    from .envelope import Task


class CurrentTask:
    """What a task can know of itself while it runs.

    ``id``, ``name``, ``func`` (its dotted path), ``queue`` and ``group`` (or None) are those
    of the task.
    """

    __slots__ = (
        "_conf",
        "_started",
        "_task",
        "attempt",
        "func",
        "group",
        "id",
        "name",
        "queue",
    )

    def __init__(self, task: Task, attempt: int, started: float, conf: Conf) -> None:
        self._task = task
        self._started = started
        self._conf = conf
        self.id: str = task.id
        self.name: str = task.name
        self.func: str = task.func
        self.queue: str = task.queue
        self.group: str | None = task.group
        #: Which attempt this is, from 1.
        self.attempt: int = attempt

    def __repr__(self) -> str:
        return f"<task {self.func} id={self.id} attempt={self.attempt}>"

    @property
    def max_attempts(self) -> int:
        """After how many deliveries it is given up; 0: there is no limit."""
        own: int = choose(self._task.options.max_attempts, self._conf.max_attempts)
        return own

    @property
    def deadline(self) -> dt.datetime | None:
        """When its time is up (aware, in UTC), or None: it may run for ever."""
        seconds = self._seconds
        if seconds is None:
            return None
        return dt.datetime.fromtimestamp(self._started + seconds, dt.UTC)

    def time_left(self) -> float | None:
        """Return the seconds until its deadline, negative once that has passed, or None."""
        seconds = self._seconds
        return None if seconds is None else self._started + seconds - time.time()

    @property
    def _seconds(self) -> float | None:
        seconds: float | None = choose(self._task.options.timeout, self._conf.timeout)
        return seconds


#: Task, attempt, when that began (epoch seconds) and settings: an object is made of them
#: for those who ask, for most tasks do not.
RUNNING: ContextVar[tuple[Task, int, float, Conf] | None] = ContextVar(
    "qcore_running", default=None
)


#: Whether a task that is suspended here is woken again; False where its caller runs it.
SUSPENDS: ContextVar[bool] = ContextVar("qcore_suspends", default=True)

#: The attempt (as in ``RUNNING``) that has got further than any before it.
_FURTHER: ContextVar[object] = ContextVar("qcore_further", default=None)


def can_suspend() -> bool:
    """Whether the task that this code runs in may wait outside of a worker.

    False outside of a task, and where ``sync`` runs it in its caller.
    """
    return RUNNING.get() is not None and SUSPENDS.get()


def got_further() -> None:
    """Say that the task that this code runs in has got further, and will not go back.

    Its earlier attempts do not count any more. For plugins that keep what a task has done.
    """
    _FURTHER.set(RUNNING.get())


def has_got_further() -> bool:
    """Whether the task that this code runs in has said so in this attempt."""
    return _FURTHER.get() is RUNNING.get()


def current_task() -> CurrentTask | None:
    """Return the task that this code runs in, or None outside of a task."""
    running = RUNNING.get()
    return None if running is None else CurrentTask(*running)
