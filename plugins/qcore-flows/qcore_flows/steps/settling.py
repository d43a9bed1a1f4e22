"""Settling: what becomes of a run when its task has ended, failed, or waits.

Runs in the transaction of the ledger that writes the same down for the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

from qcore.brokers.tools import chunks, placeholders
from qcore.envelope import Outcome
from qcore.runtime import current

from .children import ChildEnd, end, lock_runs, wake
from .ledger import the_ledger
from .memory import RUNS, STEPS, TERM
from .options import is_durable, spawned_by
from .words import PLUGIN, RunState

if TYPE_CHECKING:
    from qcore import Settled

#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
MOST = 150


def settle(settled: Iterable[Settled]) -> None:
    """Write down what has become of the runs of durable tasks, and of tasks they spawned."""
    own: dict[str, Settled] = {}
    spawned: dict[str, Settled] = {}
    for one in settled:
        before = own.get(one.task.id)
        # a copy that is put off beside the end changes nothing
        if is_durable(one.task) and (before is None or not before.final):
            own[one.task.id] = one
        if one.final and spawned_by(one.task) is not None:
            spawned[one.task.id] = one
    if own or spawned:
        _settle(own, spawned)


class _Locked(NamedTuple):
    """What of a run that is locked decides about it."""

    task_id: str
    state: str
    woken: bool
    waits_for: str
    due: float | None


def _settle(own: Mapping[str, Settled], spawned: Mapping[str, Settled]) -> None:
    ledger = the_ledger("a durable task")
    # nobody wakes them any more; first, for who emits an event locks in this order
    for part in chunks(sorted(id for id, one in own.items() if one.final), MOST):
        ledger.execute(
            f"UPDATE {STEPS} SET event = NULL"
            f" WHERE run_id IN ({placeholders(part)}) AND event IS NOT NULL",
            part,
        )
    parents = {str(spawned_by(one.task)) for one in spawned.values()}
    found = {
        run.task_id: run
        for run in starmap(_Locked, lock_runs(ledger, own.keys() | parents, _FIELDS))
    }
    now = ledger.now()
    if spawned:
        woken = end(ledger, _ends(spawned), now) & found.keys()
        wake(ledger, {id: found[id].state for id in woken})
        for id in woken:
            state = found[id].state
            if state == RunState.SUSPENDED:
                state = str(RunState.WAITING)
            found[id] = found[id]._replace(state=state, woken=True)
    states: dict[str, list[str]] = {}
    for id in sorted(own.keys() & found.keys()):
        if (state_after := _state_after(found[id], own[id], now)) is not None:
            states.setdefault(state_after, []).append(id)
    if again := states.get(_WOKEN):
        ledger.wake(PLUGIN, again)
        states.setdefault(RunState.WAITING, []).extend(states.pop(_WOKEN))
    for state, those in states.items():
        ended = None if state in _OPEN else now
        for part in chunks(those, MOST):
            ledger.execute(
                f"UPDATE {RUNS} SET state = %s, ended = %s, held_until = 0"
                f" WHERE task_id IN ({placeholders(part)})",
                [str(state), ended, *part],
            )


def _ends(spawned: Mapping[str, Settled]) -> dict[str, ChildEnd]:
    """Return how tasks have ended that were spawned, with the values of successes."""
    missing = [
        id
        for id, one in spawned.items()
        if one.outcome == Outcome.SUCCESS and one.result is None
    ]
    # an earlier delivery has stored them
    stored = current.results.finished(missing) if missing else {}
    ends = {}
    for id, one in spawned.items():
        value = stored.get(id)
        if one.outcome == Outcome.SUCCESS and one.result is not None:
            value = one.result.content, one.result.value
        ends[id] = ChildEnd(str(one.outcome), value)
    return ends


_FIELDS = _Locked._fields
#: In the place of a state: it is to be suspended, and what it waits for has happened.
_WOKEN = "woken"
_OPEN = frozenset(RunState)


def _state_after(run: _Locked, one: Settled, now: float) -> str | None:
    """Return the state of a run after an end of its task; None: as before."""
    if one.outcome == Outcome.STOPPED:
        return None  # a worker that is stopped has let go by itself
    if one.final:
        return str(one.outcome)
    if one.outcome != Outcome.SUSPENDED:
        return RunState.WAITING
    if run.woken or _is_late(run, one, now):
        return _WOKEN
    return None if run.state == RunState.NEEDS_VERSION else RunState.SUSPENDED


def _is_late(run: _Locked, one: Settled, now: float) -> bool:
    """Whether a task is suspended until another moment than that which its run waits for.

    Then another worker has begun the run since. That one may have taken the event that this
    suspension waits for; and its own package is void, as this one is the next. So the run
    goes on at once, and finds out what it waits for. A look too many does no harm.
    """
    if run.state == RunState.NEEDS_VERSION:
        return one.again is None or one.again > TERM
    if not run.waits_for:
        return True
    if run.due is None:
        return False
    return one.again is None or now + one.again > run.due + TERM
