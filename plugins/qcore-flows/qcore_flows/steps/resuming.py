"""Resuming: a durable task that is sent again goes on after what the failed one has stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qcore.conf.names import shown as described
from qcore.envelope import Outcome
from qcore.errors import CallError, did_you_mean, sentence
from qcore.tasks import resend

from ..blocking import async_variant, blocking
from ..models.steps import Run, RunStep, Spawned
from ..option import RESENT, is_id
from .ledger import the_ledger
from .memory import RUNS, STEPS
from .options import version_of
from .values import Value
from .words import TOO_LATE, Kind, RunState

if TYPE_CHECKING:
    from qcore import NewTask
    from qcore.runtime import LedgerPlace

_RUN = ("task_id", "func", "version", "created", "state", "start", "held_until")
_STEP = (
    "digest", "name", "kind", "due", "began", "done", "content", "value",
)  # fmt: skip


@blocking
def resume(task_id: str, *, from_step: str | None = None) -> str:
    """Send a durable task again that has failed; it goes on after its last stored step.

    ``qcore.tasks.resend`` does the same where no step is given.

    Args:
        task_id: the id of the task.
        from_step: the name of a stored step, with its key: ``"mail[17]"``. It is done
            again, and so is all that began after it; the failed run forgets both.

    Returns:
        The id of the new task.

    Raises:
        CallError: there is no run of this task, it has not ended, it has succeeded, it has
            no such step, or no result has the id.
        EnqueueError, BrokerError, StoreError: as ``qcore.tasks.resend``; nothing is forgotten.
    """
    if not is_id(task_id):
        raise CallError(
            f"resume() got {described(task_id)}, expected the id of a durable task: 32"
            " hexadecimal digits."
        )
    ledger = the_ledger("resume()")
    return ledger.run(lambda: _resume(ledger, task_id, from_step))


aresume = async_variant(resume)


def _resume(ledger: LedgerPlace, task_id: str, from_step: str | None) -> str:
    rows = Run.objects.using(ledger.database)
    rows.filter(pk=task_id).update(woken=False)  # first: in SQLite it takes the lock
    run = rows.select_for_update().filter(pk=task_id).first()
    if run is None:
        raise CallError(f"there is no run of the task {task_id}, or it was pruned.")
    if run.ended is None:
        raise CallError(
            f"the run of {task_id} has not ended: its state is {run.state!r}. Cancel it"
            f" first: qcore cancel {task_id}"
        )
    if run.state == Outcome.SUCCESS:
        raise CallError(
            f"the run of {task_id} has succeeded: there is nothing to resume."
        )
    if from_step is not None:
        _forget(ledger, task_id, from_step)
    return resend(task_id)


def _forget(ledger: LedgerPlace, task_id: str, name: str) -> None:
    """Delete a step of a run that has ended, and what began after it."""
    steps = RunStep.objects.using(ledger.database).filter(run_id=task_id)
    found = steps.filter(name=name).order_by("began").first()
    if found is None:
        names = list(steps.order_by("began").values_list("name", flat=True))
        near = did_you_mean(str(name), names)
        raise CallError(
            sentence(f"the run of {task_id} has no step {described(name)}{near}")
            + f" `qcore runs {task_id}` shows its steps."
        )
    steps.filter(began__gt=found.began).delete()
    steps.filter(began=found.began, pk__gte=found.pk).delete()


# -- what a task that is sent again takes over -------------------------------------------
def take_over(tasks: Sequence[NewTask]) -> None:
    """Give the runs of durable tasks that are sent again what the failed ones have stored.

    It is called in the transaction that sends them.

    Args:
        tasks: durable ones that are new.
    """
    again = {
        new.task.headers[RESENT]: new
        for new in tasks
        if new.task.headers and RESENT in new.task.headers
    }
    if not again:
        return
    ledger = the_ledger("a durable task")
    rows = Run.objects.using(ledger.database)
    failed = rows.filter(pk__in=list(again)).exclude(ended=None)
    for run in failed.exclude(state=Outcome.SUCCESS).order_by("pk"):
        task = again[run.task_id].task
        version = max(run.version, version_of(task))
        row = (task.id, task.func, version, ledger.now(), str(RunState.WAITING), 0, 0.0)
        if ledger.insert(RUNS, _RUN, [row], ignore=True):
            _copy(ledger, run.task_id, task.id)


def _copy(ledger: LedgerPlace, old: str, new: str) -> None:
    """Copy the answers of a run to another one, but those that would make it fail again.

    A wait that came too late begins anew, and so does one for tasks. Of the tasks that it has
    spawned, those that have succeeded are taken over.
    """
    spawned = Spawned.objects.using(ledger.database).filter(
        run_id=old, outcome=Outcome.SUCCESS
    )
    kept = set(spawned.values_list("task_id", flat=True))
    spawned.update(run_id=new)
    steps = RunStep.objects.using(ledger.database).filter(run_id=old)
    done = steps.exclude(done=None).exclude(content=TOO_LATE)
    values = [
        (new, *row)
        for row in done.values_list(*_STEP)
        if _is_kept(dict(zip(_STEP, row, strict=True)), kept)
    ]
    ledger.insert(STEPS, ("run_id", *_STEP), values)


def _is_kept(step: Mapping[str, Any], kept: Collection[str]) -> bool:
    content, value = step["content"], step["value"]
    if step["kind"] == Kind.WAIT_TASKS:
        return bool(content)  # the default that it has stored
    if step["kind"] == Kind.SPAWN:
        return Value(content, bytes(value or b"")).load() in kept
    return True
