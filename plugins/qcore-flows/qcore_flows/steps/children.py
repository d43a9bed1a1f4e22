"""Children: the tasks that runs have spawned, and how they have ended.

Whoever writes an end has locked the run before, and whoever waits for one has, too. So no run
waits for what has ended already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections

from qcore.brokers.tools import chunks, placeholders

from ..models.steps import Run, Spawned
from .words import PLUGIN, RunState

if TYPE_CHECKING:
    from qcore.runtime import LedgerPlace

#: How a task ends of which nothing is heard any more.
LOST = "lost"
#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
MOST = 150

RUNS = Run._meta.db_table  # noqa: SLF001 - Django's public name of it
SPAWNED = Spawned._meta.db_table  # noqa: SLF001 - as above


class Child(NamedTuple):
    """A task that a run has spawned."""

    task_id: str
    outcome: str | None
    content: str
    value: bytes | None


class ChildEnd(NamedTuple):
    """How such a task has ended."""

    outcome: str
    value: tuple[str, bytes] | None = None
    """Serializer and value of a success."""


def find(ledger: LedgerPlace, run_id: str, ids: Iterable[str]) -> dict[str, Child]:
    """Return those of these tasks that a run has spawned."""
    found: dict[str, Child] = {}
    for part in chunks(sorted(set(ids)), MOST):
        rows = ledger.execute(
            f"SELECT {', '.join(Child._fields)} FROM {SPAWNED}"
            f" WHERE run_id = %s AND task_id IN ({placeholders(part)})",
            [run_id, *part],
        )
        found |= {values[0]: Child(*values) for values in rows}
    return found


def wait_for(ledger: LedgerPlace, run_id: str, ids: Collection[str]) -> None:
    """Note the tasks that a locked run waits for, and no others."""
    ledger.execute(f"UPDATE {SPAWNED} SET waited = NULL WHERE waited = %s", [run_id])
    for part in chunks(sorted(ids), MOST):
        ledger.execute(
            f"UPDATE {SPAWNED} SET waited = %s WHERE task_id IN ({placeholders(part)})",
            [run_id, *part],
        )


def given_up(ledger: LedgerPlace, ids: Iterable[str]) -> set[str]:
    """Return those of these tasks that count as lost: none of them runs any more."""
    found: set[str] = set()
    for part in chunks(sorted(set(ids)), MOST):
        rows = ledger.execute(
            f"SELECT task_id FROM {SPAWNED}"
            f" WHERE task_id IN ({placeholders(part)}) AND outcome = %s",
            [*part, LOST],
        )
        found.update(id for (id,) in rows)
    return found


def lock_runs(
    ledger: LedgerPlace, ids: Iterable[str], columns: Sequence[str]
) -> list[tuple[object, ...]]:
    """Lock those of these runs that have not ended, until the end of the transaction.

    In the order of their ids: so two transactions never wait for each other.

    Args:
        ledger: with a transaction that is open.
        ids: of the runs.
        columns: of the rows that are returned.
    """
    locks = connections[ledger.database].features.has_select_for_update
    return [
        row
        for part in chunks(sorted(set(ids)), MOST)
        for row in ledger.execute(
            f"SELECT {', '.join(columns)} FROM {RUNS}"
            f" WHERE task_id IN ({placeholders(part)}) AND ended IS NULL ORDER BY task_id"
            f"{' FOR UPDATE' if locks else ''}",
            part,
        )
    ]


def end(ledger: LedgerPlace, ends: Mapping[str, ChildEnd], now: float) -> set[str]:
    """Write the ends of tasks whose runs are locked; return the runs that wait no more.

    Args:
        ledger: with a transaction that is open.
        ends: by the ids of the tasks. One that was written before changes nothing.
        now: seconds since the epoch, by the clock of the ledger.
    """
    changes: list[tuple[object, ...]] = []
    waited: set[str] = set()
    for part in chunks(sorted(ends), MOST):
        rows = ledger.execute(
            f"SELECT task_id, waited FROM {SPAWNED}"
            f" WHERE task_id IN ({placeholders(part)}) AND outcome IS NULL",
            part,
        )
        for id, run_id in rows:
            outcome, value = ends[id]
            changes.append((id, outcome, now, *(value or ("", None)), None, None))
            if run_id is not None:
                waited.add(run_id)
    ledger.change(
        SPAWNED,
        "task_id",
        ("outcome", "ended", "content", "value", "waited", "touched"),
        changes,
    )
    still: set[str] = set()
    for part in chunks(sorted(waited), MOST):
        rows = ledger.execute(
            f"SELECT task_id FROM {RUNS} WHERE task_id IN ({placeholders(part)})"
            f" AND EXISTS (SELECT 1 FROM {SPAWNED} WHERE waited = {RUNS}.task_id)",
            part,
        )
        still.update(id for (id,) in rows)
    return waited - still


def wake(ledger: LedgerPlace, states: Mapping[str, str]) -> None:
    """Let locked runs go on; one that is about to be suspended goes on where that is settled.

    Args:
        ledger: with a transaction that is open.
        states: of the runs, by their ids.
    """
    for part in chunks(sorted(states), MOST):
        ledger.execute(
            f"UPDATE {RUNS} SET woken = %s WHERE task_id IN ({placeholders(part)})",
            [True, *part],
        )
    asleep = [id for id, state in states.items() if state == RunState.SUSPENDED]
    if asleep:
        ledger.wake(PLUGIN, asleep)
    for part in chunks(sorted(asleep), MOST):
        ledger.execute(
            f"UPDATE {RUNS} SET state = %s WHERE task_id IN ({placeholders(part)})",
            [str(RunState.WAITING), *part],
        )
