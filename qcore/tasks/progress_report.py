"""Progress: how far a running task is, told by the task and read by anybody.

Runs in: a worker, whose task tells; and in whatever process asks. The worker sends the
figures over its socket to the dispatcher, which shows them in the status of its cluster.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from typing import overload

from ..conf.names import shown
from ..errors import CallError
from ..running import RUNNING
from ..status import Progress, running
from .loops import in_thread, refuse_in_loop

#: Seconds between two reports of one task; what comes sooner is dropped.
EVERY = 1.0
#: Characters of a note that are kept: a report must fit into one frame that is written at
#: once, for a signal may come between two.
LONGEST_NOTE = 200


#: Takes what the task of this process tells.
Report = Callable[[Progress], None]


class _Channel:
    """The way out of this process, and when it was used last."""

    report: Report | None = None  # None: nobody listens, as where ``sync`` is set
    pid = 0  # of the worker; a fork of it has no say
    task_id = ""  # of the task that has told last
    at = -math.inf  # monotonic


def listen(report: Report | None) -> None:
    """Let a function take what the tasks of this process tell; for workers."""
    _Channel.report, _Channel.pid = report, os.getpid()


@overload
def progress(done: str, /) -> Progress | None: ...
@overload
def progress(
    done: float, total: float | None = None, note: str | None = None
) -> None: ...
def progress(
    done: float | str, total: float | None = None, note: str | None = None
) -> Progress | None:
    """Tell how far the running task is; or, with the id of a task, return how far it is.

    Inside of a task, as often as you like: once a second is sent on, and the last step, at
    which ``done`` reaches ``total``, always is. Where nobody listens, such as with ``sync``
    or in tests, the figures are checked and dropped.

    Args:
        done: a number >= 0, in whatever unit; or the id of a task, to read its progress.
        total: what ``done`` will be at the end; None where that is not known.
        note: some words for people; 200 characters of one line are kept.

    Returns:
        With an id: what the task has told last; None where it does not run, or has told
        nothing. It takes up to a second to be seen. Otherwise None.

    Raises:
        CallError: the caller is not a running task, or another thread of it; or, with an
            id, an event loop runs here, and it would wait for the status of clusters.
        TypeError, ValueError: a figure is none.
        BrokerError, StoreError: with an id: the status cannot be read now.
    """
    if isinstance(done, str):
        refuse_in_loop("progress", "aprogress")
        return _of(done)
    task_id = _running_id()
    told = Progress(
        done=_number("done", done),
        total=None if total is None else _number("total", total),
        note=_note(note),
        at=time.time(),
    )
    _tell(task_id, told)
    return None


async def aprogress(task_id: str) -> Progress | None:
    """Return how far a task is, for ``await``; see ``progress``.

    Telling needs no variant: ``progress(done, total)`` waits for nobody.
    """
    return await in_thread(_of, task_id)


def _of(task_id: str) -> Progress | None:
    for cluster in running():
        for worker in cluster.workers:
            if worker.task_id == task_id:
                return worker.progress
    return None


def _tell(task_id: str, told: Progress) -> None:
    report = _Channel.report
    if report is None:
        return
    now = time.monotonic()
    is_last = told.total is not None and told.done >= told.total
    if task_id == _Channel.task_id and now - _Channel.at < EVERY and not is_last:
        return
    _Channel.task_id, _Channel.at = task_id, now
    report(told)


def _running_id() -> str:
    """Return the id of the task whose code has called."""
    mine = RUNNING.get()
    if mine is None:
        raise CallError(
            "progress(done, total) is for the code of a running task, and none runs here:"
            " the task has ended, or this is another thread than that of the task, or no"
            " worker. To read the progress of a task, pass its id: progress(task_id)."
        )
    if _Channel.report is None:
        return mine[0].id
    if os.getpid() != _Channel.pid:
        raise CallError(
            "progress() was called in a process that the task has forked. Only the task"
            " itself can tell its progress."
        )
    if threading.current_thread() is not threading.main_thread():
        raise CallError(
            f"progress() was called in a thread that the task {mine[0].func} has started,"
            " and the worker cannot tell whether its task still runs. Call it in the task"
            " itself, for example each time that a thread has done its part."
        )
    return mine[0].id


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"progress(): {name} is {shown(value)}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0:
        raise ValueError(
            f"progress(): {name} is {shown(value)}, expected a finite number >= 0"
        )
    return int(value) if isinstance(value, int) and number < 2**63 else number


def _note(note: object) -> str:
    if note is None:
        return ""
    if not isinstance(note, str):
        raise TypeError(f"progress(): note is {shown(note)}, expected a text")
    return note.partition("\n")[0][:LONGEST_NOTE]
