"""Runs in: the recorder. What is stored of a job whose result a store has refused."""

from __future__ import annotations

import logging
import math
import time

import msgspec

from ...envelope import Attempt, Options, Outcome, Result, Task
from ...printable import first_line
from .job import Job

logger = logging.getLogger("qcore.recorder")

#: What takes the place of arguments that a store has refused. It is no serializer's name,
#: so that nobody can run the task again without them by accident.
LOST = "lost"
#: Characters of the reason in a note.
_REASON = 300
#: Numbers that every database has room for.
_LARGEST = 2**31 - 1
#: Seconds since the epoch that every database has a date for: the year 3000.
_LAST_MOMENT = 32_503_680_000


def use_fallback(job: Job, error: Exception) -> bool:
    """Replace the result of a job by a note that a store takes.

    First a failure whose text says why the value is not there. If that is refused, too,
    one that says nothing of task and reason (whatever was refused may stand there), has
    no arguments, names in ASCII, and numbers within their limits.

    Returns:
        Whether there was anything left to try.
    """
    if job.notes >= 2:
        return False
    job.notes += 1
    if job.notes == 1:
        logger.error("the result of %s cannot be stored: %s", job.task.id, error)
        job.ended = _note(job, error)
        job.next_package = None  # it follows a success only
    assert job.ended is not None
    task = job.task if job.notes == 1 else bare(job.task)
    ended = job.ended if job.notes == 1 else _emptied(job.ended)
    attempt = min(max(job.attempt, 1), _LARGEST)
    is_final = job.result is None or job.result.final
    job.result = ended.result(task, attempt, final=is_final)
    return True


def probe(job: Job, error: Exception) -> Result:
    """Return a failed attempt that shows whether a store takes anything of a job, now.

    It is not the end of the task: either its result is stored after it, or a note.
    """
    ended = _note(job, error)
    return ended.result(job.task, job.attempt, final=False)


def failure_of(task: Task, id: str, text: str) -> Result:
    """Return a failure under another id than the task's, as of an ``async_iter``."""
    return Attempt.failed(Outcome.FAILURE, text).result(
        msgspec.structs.replace(
            bare(task), id=id, iter_index=None, iter_count=None, hook=None
        ),
        1,
    )


def reason(error: BaseException) -> str:
    """Return why a store has refused something: one line of ASCII, and not all of it.

    The further lines are cut off: many databases repeat the whole refused row there.
    """
    return _ascii(f"{type(error).__name__}: {first_line(str(error))}")[:_REASON]


def _note(job: Job, error: Exception) -> Attempt:
    ended = job.ended
    assert ended is not None
    text = f"StoreError: the result cannot be stored: {reason(error)}"
    if ended.outcome == Outcome.SUCCESS:
        text += f"\n\nThe task succeeded; its value has {len(ended.value):,} bytes."
    else:
        first = first_line(ended.text)
        text += f"\n\nThe task failed: {_ascii(first)}"
    outcome = ended.outcome if ended.outcome != Outcome.SUCCESS else Outcome.FAILURE
    return msgspec.structs.replace(
        ended, outcome=outcome, value=text.encode(), content="text"
    )


def bare(task: Task) -> Task:
    """Return a task without arguments, and with names that every store takes."""
    return msgspec.structs.replace(
        task,
        name=_ascii(task.name),
        func=_ascii(task.func),
        queue=_ascii(task.queue),
        hook=None if task.hook is None else _ascii(task.hook),
        group=None if task.group is None else _ascii(task.group),
        created=_moment(task.created),
        content=LOST,
        body=b"",
        options=Options(cached=task.options.cached),
        iter_index=_place(task.iter_index),
        iter_count=_place(task.iter_count),
        links=0,
    )


def _emptied(ended: Attempt) -> Attempt:
    started = _moment(ended.started)
    return msgspec.structs.replace(
        ended,
        value=b"StoreError: the result cannot be stored. The log of the cluster says why.",
        started=started,
        stopped=max(started, _moment(ended.stopped)),
    )


def _moment(seconds: float) -> float:
    known = math.isfinite(seconds) and 0 <= seconds <= _LAST_MOMENT
    return seconds if known else time.time()


def _place(number: int | None) -> int | None:
    return None if number is None or not 0 <= number <= _LARGEST else number


def _ascii(text: str) -> str:
    """Return a text in characters that every database has, without control characters."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else " " for c in plain)
