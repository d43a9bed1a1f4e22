"""Opening and closing: each start of a run has a number, and the last one is valid.

A start is refused while another worker has the run: its row says until when. A worker that
lives moves this moment on; one that ended says so; of one that died, the cluster says so.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from django.db import InterfaceError, OperationalError, connections

from qcore.envelope import Outcome
from qcore.errors import LeaseLost, Suspend, TaskStopped
from qcore.masking import mask_url

from ..models.steps import Run
from .errors import TooManyRuns
from .ledger import the_ledger
from .memory import RUNS, TERM, Memory
from .options import accepted, version_of
from .words import PLUGIN, RunState

if TYPE_CHECKING:
    from qcore import Task
    from qcore.runtime import LedgerPlace

logger = logging.getLogger("qcore.flows")

#: Starts of a run after which its task is discarded: it makes no progress.
MAX_RUNS = 1_000
#: Seconds after which a run is looked at again whose version is not accepted.
AGAIN = 60.0
#: Seconds after which a task comes again that has found no ledger.
PAUSE = 5.0


class Opened(NamedTuple):
    """A run that this worker may go on with."""

    ledger: LedgerPlace
    start: int
    now: float  # by the clock of the ledger's database, seconds since the epoch
    is_new: bool  # nothing is stored in it


def open_run(task: Task) -> Opened:
    """Begin the run of a task, or go on with it.

    Raises:
        LeaseLost: another worker has it.
        Suspend: the function, as it is here, does not accept its version.
        TooManyRuns: it was begun too often.
        EnqueueError: there is no ledger.
    """
    versions = accepted(task)
    ledger = the_ledger(f"the durable task {task.func}")
    try:
        opened, version = ledger.run(lambda: _open(task, ledger, versions))
    except (OperationalError, InterfaceError) as error:
        connections[ledger.database].close_if_unusable_or_obsolete()
        why = f"{type(error).__name__}: {mask_url(str(error))}"
        logger.warning("%s id=%s is put off: %s", task.func, task.id, why)
        stopped = TaskStopped(f"the ledger does not answer: {why}")
        stopped.after = PAUSE
        raise stopped from error
    if opened is None:
        logger.error(
            "%s id=%s needs version %d, and this code accepts %s. It waits; install code that"
            " accepts it, or cancel the task",
            task.func, task.id, version, ", ".join(map(str, sorted(versions))),
        )  # fmt: skip
        raise Suspend(PLUGIN, after=AGAIN)
    return opened


#: What is written of a run that begins; the rest has the defaults of the table.
_COLUMNS = ("task_id", "func", "version", "created", "state", "start", "held_until")


def _open(
    task: Task, ledger: LedgerPlace, versions: set[int]
) -> tuple[Opened | None, int]:
    """Return the run, or None where its version is not accepted; and the version."""
    now, version = ledger.now(), version_of(task)
    begins = version in versions
    row = (RunState.RUNNING, 1, now + TERM) if begins else (RunState.WAITING, 0, 0.0)
    # first: in SQLite it takes the lock for writing
    new = (task.id, task.func, version, now, str(row[0]), *row[1:])
    if ledger.insert(RUNS, _COLUMNS, [new], ignore=True) and begins:
        return Opened(ledger, 1, now, is_new=True), version  # nearly always
    runs = Run.objects.using(ledger.database)
    run = runs.select_for_update().get(pk=task.id)
    if run.ended is not None:
        raise LeaseLost("the task has ended", after=TERM)
    if run.state == RunState.RUNNING and run.held_until > now:
        raise LeaseLost("another worker has the task", after=run.held_until - now)
    if run.start >= MAX_RUNS:
        raise TooManyRuns(f"it has started {MAX_RUNS:,} times, which is the limit")
    changed = ["state", "start", "held_until", "woken", "waits_for", "due"]
    run.woken, run.waits_for, run.due = False, "", None
    if run.version in versions:
        run.state, run.start, run.held_until = (
            RunState.RUNNING,
            run.start + 1,
            now + TERM,
        )
    else:
        run.state = RunState.NEEDS_VERSION
    run.save(using=ledger.database, update_fields=changed)
    if run.state == RunState.NEEDS_VERSION:
        return None, run.version
    return Opened(ledger, run.start, now, is_new=False), run.version


def let_go(memory: Memory) -> None:
    """Say that this worker does not have the run any more: its attempt has failed.

    Where that cannot be said now, the cluster says so when it records the end.
    """
    rows = Run.objects.using(memory.ledger.database)
    try:
        rows.filter(pk=memory.run_id, start=memory.start, ended=None).update(
            state=RunState.WAITING, held_until=0.0
        )
    except Exception as error:  # noqa: BLE001 - the error of the task is to be told
        logger.debug(
            "the end of an attempt cannot be written to the run of %s: %s",
            memory.run_id,
            error,
        )


def close_inline(memory: Memory, error: BaseException | None) -> None:
    """Say how a run has ended that no cluster settles."""
    outcome = Outcome.SUCCESS if error is None else Outcome.FAILURE
    rows = Run.objects.using(memory.ledger.database)
    rows.filter(pk=memory.run_id, start=memory.start, ended=None).update(
        state=str(outcome), held_until=0.0, ended=memory.ledger.now()
    )
