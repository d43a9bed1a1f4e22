"""Runs in: a worker. Whether it is fit for another task, after what the last one left.

The worker undoes most of what a task leaves behind: this module restores the handlers of
signals, `Services.tidy` cleans connections, and context variables end with the task. Three
things cannot be undone: memory that ran out, a thread that runs on, and a standard stream
that was closed. Then the worker ends in order, and a new worker takes its place. The log
names each of them with the task.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time

from ...envelope import Task
from ..system import descendants
from ..wire.messages import SOFT_CANCEL, SOFT_STOP
from .streams import StandardStreams

logger = logging.getLogger("qcore.worker")

#: Seconds between two looks at the children of a worker that has any: to find them, all
#: processes of the host are read.
_FAMILY_EVERY = 1.0
#: What the worker itself answers, and a task may have taken away.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, SOFT_STOP, SOFT_CANCEL)
#: Seconds between two looks at them: Python takes 2 µs for each, a tenth of a short task.
_HANDLERS_EVERY = 0.5


class Cleanup:
    """What is wrong with a worker.

    Args:
        grace: seconds that a thread may outlive its task.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._streams = StandardStreams()
        self._ours = frozenset(threading.enumerate())  # of plugins, for example
        self._left: dict[threading.Thread, float] = {}  # since when, monotonic
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._handlers_at = 0.0
        self._named: set[int] = set()
        self._family_at = 0.0

    def after(self, task: Task, error: BaseException | None) -> str | None:
        """Look for what a task has left behind, and log it.

        Args:
            task: that has ended.
            error: how, unless it was a success.

        Returns:
            Why this worker should take no further task, or None.
        """
        closed = self._streams.restore()
        full = "memory ran out" if is_out_of_memory(error) else None
        threads = self._look_at_threads(task)
        self._look_at_family(task)
        self._restore_handlers()
        found = closed or full or threads
        return found and f"{found} (after {task.func} id={task.id})"

    def _look_at_threads(self, task: Task) -> str | None:
        every = threading.enumerate()
        if self._ours.issuperset(every):  # nearly always
            self._left.clear()
            return None
        others = [thread for thread in every if thread not in self._ours]
        now = time.monotonic()
        running = [thread for thread in others if not is_in_waiting(thread)]
        for thread in running:
            if thread not in self._left:
                logger.warning(
                    "%s id=%s left a thread running: %s",
                    task.func,
                    task.id,
                    thread.name,
                )
        self._left = {thread: self._left.get(thread, now) for thread in running}
        old = [t.name for t, since in self._left.items() if now - since >= self._grace]
        return f"threads outlived their task: {', '.join(old)}" if old else None

    def _restore_handlers(self) -> None:
        now = time.monotonic()
        if now < self._handlers_at:
            return
        self._handlers_at = now + _HANDLERS_EVERY
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def _look_at_family(self, task: Task) -> None:
        now = time.monotonic()
        if now < self._family_at or not descendants.has_children():
            return
        self._family_at = now + _FAMILY_EVERY
        descendants.reap_orphans()
        for left in descendants.outside_group_of_this_process():
            if left.pid not in self._named:
                self._named.add(left.pid)
                logger.warning(
                    "%s id=%s left %s in a group of its own",
                    task.func, task.id, descendants.describe(left),
                )  # fmt: skip


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is a MemoryError, or came of one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def is_in_waiting(thread: threading.Thread) -> bool:
    """Whether a thread may outlive tasks.

    A daemon thread may: libraries that send in the background start daemon threads. A
    thread of an executor that waits for work may, because it does nothing: asgiref keeps
    such a thread for coroutines that call blocking code.
    """
    if thread.daemon or thread.ident is None:
        return True
    frame = sys._current_frames().get(thread.ident)  # noqa: SLF001 - documented
    return frame is not None and (
        frame.f_globals.get("__name__") == "concurrent.futures.thread"
        and frame.f_code.co_name == "_worker"
    )
