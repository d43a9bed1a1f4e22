"""Waiting: a run goes on when tasks that it has spawned have ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from qcore.conf.names import shown as described
from qcore.envelope import Outcome
from qcore.errors import did_you_mean, sentence

from ..option import is_id
from . import children
from .calls import Key, refuse_inline
from .errors import ChildFailed, StepError, WaitTimeout
from .memory import Remembered
from .names import name_of, shown
from .run import DurableRun, current_run
from .term import Term
from .values import Value
from .words import RAISE, TOO_LATE, Kind

#: Ids that a message names.
_NAMED = 5


def wait(
    name: str,
    task_id: str,
    timeout: dt.timedelta | float | None = None,
    default: Any = RAISE,
    *,
    on_failure: str = "stop",
    key: Key = None,
    was: str | None = None,
) -> Any:
    """Wait until a task has ended that this run has spawned; until then, keep no worker.

    Args:
        name: of the wait, unique in the run.
        task_id: what ``spawn`` has returned.
        timeout: seconds or a timedelta from the first call; None: as long as it takes.
        default: what is returned if the task does not end in time. It can be anything that
            can be stored.
        on_failure: where the task does not succeed: "stop" raises ``ChildFailed``; "go on"
            returns None.
        key: tells the calls of a loop apart.
        was: the name that it had in an earlier version of the function.

    Returns:
        The result of the task; or the default, which is stored: an end that comes after it
        is too late for this call.

    Raises:
        ChildFailed: the task has not succeeded.
        WaitTimeout: it has not ended in time, and there is no default.
        StepError, LeaseLost, Suspend: as ``sleep_until``.
    """
    found = _wait("wait", name, [task_id], timeout, default, on_failure, key, was)
    return found[0] if isinstance(found, _Results) else found


def wait_all(
    name: str,
    task_ids: Iterable[str],
    timeout: dt.timedelta | float | None = None,
    default: Any = RAISE,
    *,
    on_failure: str = "stop",
    key: Key = None,
    was: str | None = None,
) -> Any:
    """Wait until all of these tasks have ended; the rest is as ``wait``.

    Args:
        name: of the wait, unique in the run.
        task_ids: what calls of ``spawn`` have returned.
        timeout: as of ``wait``, for all of them together.
        default: as of ``wait``, in the place of the whole list.
        on_failure: where one of them does not succeed: "stop" raises ``ChildFailed`` when
            all have ended; "go on" has None in the place of its result.
        key: tells the calls of a loop apart.
        was: the name that it had in an earlier version of the function.

    Returns:
        A list of their results, in the order of the ids; or the default.

    Raises:
        ChildFailed: some of them have not succeeded.
        WaitTimeout, StepError, LeaseLost, Suspend: as ``wait``.
    """
    if isinstance(task_ids, (str, bytes)) or not isinstance(task_ids, Iterable):
        raise StepError(
            f"wait_all(): the tasks are {described(task_ids)}, expected a list of ids that"
            " spawn() has returned"
        )
    found = _wait(
        "wait_all", name, list(task_ids), timeout, default, on_failure, key, was
    )
    return list(found) if isinstance(found, _Results) else found


class _Results(list[Any]):
    """Results of tasks: told apart from a default that is a list."""


def _wait(
    word: str,
    name: str,
    ids: Sequence[str],
    timeout: dt.timedelta | float | None,
    default: Any,
    on_failure: str,
    key: Key,
    was: str | None,
) -> Any:
    run = current_run(word)
    whole = name_of(word, name, key)
    for id in ids:
        if not is_id(id):
            raise StepError(
                f"{word}({whole!r}): got {described(id)}, expected an id that spawn() has"
                " returned"
            )
    if on_failure not in ("stop", "go on"):
        near = did_you_mean(str(on_failure), ["stop", "go on"])
        raise StepError(
            f"{word}({whole!r}): on_failure is {described(on_failure)}, expected 'stop' or"
            f" 'go on'{sentence(near)}"
        )
    term = Term.of(timeout, default, whole)
    known = run.recall(whole, was, Kind.WAIT_TASKS)
    known = run.wait(whole, known, partial(_look, run, word, whole, ids, known, term))
    if known.content == TOO_LATE:
        raise WaitTimeout(f"the tasks of {word}({whole!r}) have not ended in time")
    if known.content:
        return known.load()
    return _results(run, word, whole, ids, on_failure)


def _look(
    run: DurableRun,
    word: str,
    name: str,
    ids: Sequence[str],
    known: Remembered | None,
    term: Term,
) -> Remembered:
    """See that all have ended, or register to be woken; in one transaction."""
    memory, now = run.memory, run.clock.now()
    # first: it locks the run, and whoever writes an end locks it, too
    memory.fenced(now)
    left = [
        id for id, child in _own(run, word, name, ids).items() if child.outcome is None
    ]
    due = term.due(known, now)
    columns: dict[str, Any] = {"due": due, "done": now}
    if left and due is not None and due <= now:
        columns |= term.over()
        left = []
    if left:
        refuse_inline(word, name)
        columns["done"] = None
        memory.fenced(now, waits_for=shown(name), due=due)
    children.wait_for(memory.ledger, run.id, left)
    if known is None:
        return memory.add(name, Kind.WAIT_TASKS, now, **columns)
    return memory.change(known, **columns)


def _own(
    run: DurableRun, word: str, name: str, ids: Sequence[str]
) -> dict[str, children.Child]:
    """Return tasks that a run has spawned.

    Raises:
        StepError: it has not spawned one of them.
    """
    found = children.find(run.memory.ledger, run.id, ids)
    if strange := [id for id in ids if id not in found]:
        raise StepError(
            f"{word}({name!r}): this task has not spawned {', '.join(strange[:_NAMED])}."
            " Only ids that its own spawn() has returned can be waited for"
        )
    return found


def _results(
    run: DurableRun, word: str, name: str, ids: Sequence[str], on_failure: str
) -> _Results:
    """Return the results of tasks that have ended.

    Raises:
        ChildFailed: one of them has none.
    """
    found = _own(run, word, name, ids)
    failed = {
        id: child.outcome or "lost"
        for id, child in found.items()
        if child.outcome != Outcome.SUCCESS or child.value is None
    }
    if failed and on_failure == "stop":
        some = ", ".join(
            f"{id} ({'its result is gone' if outcome == Outcome.SUCCESS else outcome})"
            for id, outcome in list(failed.items())[:_NAMED]
        )
        more = f" and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
        raise ChildFailed(
            f"{len(failed):,} of {len(found):,} tasks of {word}({name!r}) have not"
            f" succeeded: {some}{more}. `qcore task ID` shows why",
            failed,
        )
    return _Results(
        None
        if id in failed
        else Value(found[id].content, bytes(found[id].value or b"")).load()
        for id in ids
    )
