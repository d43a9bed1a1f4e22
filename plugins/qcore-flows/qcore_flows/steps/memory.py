"""Memory: what a run has stored, by the names of its steps; only the last start writes it.

Every change first writes the row of the run, and only if that still has the number of this
start. So of two workers that have the same run, only the one that began later can store
anything; the other gets ``LeaseLost``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from qcore.errors import LeaseLost

from ..models.steps import Run, RunStep
from .names import digest, shown
from .values import Value
from .words import Kind

if TYPE_CHECKING:
    from qcore.runtime import LedgerPlace

#: Seconds for which a worker has a run alone, counted from the last sign of it.
TERM = 60.0


class Remembered(NamedTuple):
    """A step that is stored."""

    digest: str
    name: str
    kind: str
    due: float | None
    done: float | None
    content: str
    value: bytes | None

    def load(self) -> Any:
        """Return its value."""
        assert self.value is not None
        return Value(self.content, bytes(self.value)).load()


_COLUMNS = Remembered._fields
RUNS = Run._meta.db_table  # noqa: SLF001 - Django's public name of it
STEPS = RunStep._meta.db_table  # noqa: SLF001 - as above


class Memory:
    """What a run has stored, for the worker that has it.

    Args:
        ledger: of this thread.
        run_id: the id of the task.
        start: the number of this start.
    """

    def __init__(self, ledger: LedgerPlace, run_id: str, start: int) -> None:
        self.ledger = ledger
        self.run_id = run_id
        self.start = start
        self._steps: dict[str, Remembered] = {}

    def __len__(self) -> int:
        """Return how many steps are stored."""
        return len(self._steps)

    def read(self) -> None:
        """Read all of it."""
        found = self.ledger.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM {STEPS} WHERE run_id = %s",
            [self.run_id],
        )
        self._steps = {values[0]: Remembered(*values) for values in found}

    def find(self, name: str) -> Remembered | None:
        """Return the step of a name, or None."""
        return self._steps.get(digest(name))

    # -- writing, in a transaction that is open -------------------------------------
    def fenced(self, now: float, **changes: Any) -> None:
        """Write the row of the run, which locks it.

        Raises:
            LeaseLost: another worker has begun the run since, or it has ended.
        """
        columns = {"held_until": now + TERM, **changes}
        new = ", ".join(f"{column} = %s" for column in columns)
        with connections[self.ledger.database].cursor() as cursor:
            cursor.execute(
                f"UPDATE {RUNS} SET {new}"
                " WHERE task_id = %s AND start = %s AND ended IS NULL",
                [*columns.values(), self.run_id, self.start],
            )
            if not cursor.rowcount:
                raise LeaseLost(
                    "another worker has begun the task since, or it has ended"
                )

    def add(self, name: str, kind: Kind, began: float, **columns: Any) -> Remembered:
        """Store a step that is not there, after ``fenced``."""
        step = Remembered(
            digest(name),
            shown(name),
            str(kind),
            columns.get("due"),
            columns.get("done"),
            columns.pop("content", ""),
            columns.get("value"),
        )
        row = {**step._asdict(), **columns, "run_id": self.run_id, "began": began}
        self.ledger.insert(STEPS, list(row), [list(row.values())])
        return step

    def change(self, step: Remembered, **columns: Any) -> Remembered:
        """Change a step that is there, after ``fenced``."""
        rows = RunStep.objects.using(self.ledger.database)
        rows.filter(run_id=self.run_id, digest=step.digest).update(**columns)
        return step._replace(**{k: v for k, v in columns.items() if k in _COLUMNS})

    # -- after the commit ----------------------------------------------------------
    def keep(self, name: str, step: Remembered) -> None:
        """Have a step found from now on."""
        self._steps[digest(name)] = step
