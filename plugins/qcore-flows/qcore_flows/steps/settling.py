"""Settling: what becomes of a run when its task has ended, failed, or waits.

Runs in the transaction of the ledger that writes the same down for the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections

from qcore.brokers.tools import chunks, placeholders
from qcore.envelope import Outcome

from .ledger import the_ledger
from .memory import RUNS, STEPS, TERM
from .options import is_durable
from .words import PLUGIN, RunState

if TYPE_CHECKING:
    from qcore import Settled

#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
MOST = 150


def settle(settled: Iterable[Settled]) -> None:
    """Write down what has become of the runs of durable tasks."""
    own: dict[str, Settled] = {}
    for one in settled:
        before = own.get(one.task.id)
        # a copy that is put off beside the end changes nothing
        if is_durable(one.task) and (before is None or not before.final):
            own[one.task.id] = one
    for part in chunks(sorted(own), MOST):
        _settle([own[id] for id in part])


class _Locked(NamedTuple):
    """What of a run that is locked decides about it."""

    task_id: str
    state: str
    woken: bool
    waits_for: str
    due: float | None


def _settle(settled: Sequence[Settled]) -> None:
    ledger = the_ledger("a durable task")
    ids = [one.task.id for one in settled]
    if finals := [one.task.id for one in settled if one.final]:
        # nobody wakes them any more; first, for who emits an event locks in this order
        ledger.execute(
            f"UPDATE {STEPS} SET event = NULL"
            f" WHERE run_id IN ({placeholders(finals)}) AND event IS NOT NULL",
            finals,
        )
    locks = connections[ledger.database].features.has_select_for_update
    rows = ledger.execute(
        f"SELECT {', '.join(_Locked._fields)} FROM {RUNS}"
        f" WHERE task_id IN ({placeholders(ids)}) AND ended IS NULL ORDER BY task_id"
        f"{' FOR UPDATE' if locks else ''}",
        ids,
    )
    found = {run.task_id: run for run in starmap(_Locked, rows)}
    states: dict[str, list[str]] = {}
    now = ledger.now()
    for one in settled:
        run = found.get(one.task.id)
        if run is not None and (state := _state_after(run, one, now)) is not None:
            states.setdefault(state, []).append(run.task_id)
    if woken := states.get(_WOKEN):
        ledger.wake(PLUGIN, woken)
        states.setdefault(RunState.WAITING, []).extend(states.pop(_WOKEN))
    for state, those in states.items():
        ended = None if state in _OPEN else now
        ledger.execute(
            f"UPDATE {RUNS} SET state = %s, ended = %s, held_until = 0"
            f" WHERE task_id IN ({placeholders(those)})",
            [str(state), ended, *those],
        )


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
