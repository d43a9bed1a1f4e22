"""Control: what people ask of clusters while they run.

What is asked is kept in the ledger, so it holds for clusters that start later, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import status
from ..brokers.tools import chunks
from ..conf.names import REASON, WHO, note_fault, plain, queue_fault
from ..errors import CallError, ConfigError, QcoreError
from ..runtime import current
from .loops import refuse_in_loop
from .task_ids import required_ids

if TYPE_CHECKING:
    from ..runtime import ControlLike
    from ..status import Pause

#: Ids in one question to the store.
_MOST = 500


def pause(queue: str, *, reason: str = "", by: str | None = None) -> Pause:
    """Let no cluster claim from a queue until ``resume``; what runs goes on to its end.

    The pause outlives restarts and deploys. Tasks can be sent meanwhile, and wait. In a
    transaction of the ledger's database, the pause begins with its commit.

    Args:
        queue: its name; a cluster works on ``cluster_name``, or else on ``name``.
        reason: for people, up to 500 characters.
        by: who pauses it, for people, up to 255 characters.

    Returns:
        The pause, with ``queue``, ``at`` (seconds since the epoch), ``by`` and
        ``reason``. A queue that is paused already keeps the pause that it has.

    Raises:
        CallError: an argument is wrong, or an event loop would wait: see ``apause``.
        ConfigError: the project has no ledger.
        StoreError: the ledger cannot be reached, or its tables are missing.
    """
    refuse_in_loop("pause", "apause")
    name = checked_queue(queue)
    for what, value, longest in (("reason", reason, REASON), ("by", by, WHO)):
        if value is not None and (fault := note_fault(value, longest)):
            raise CallError(f"{what} {fault}.")
    return ledger("pause a queue").pause(name, by or None, reason or "")[0]


def resume(queue: str) -> Pause | None:
    """Let clusters claim from a queue again.

    Args:
        queue: its name.

    Returns:
        The pause that has ended; None where the queue was not paused.

    Raises:
        CallError, ConfigError, StoreError: as those of ``pause``.
    """
    refuse_in_loop("resume", "aresume")
    return ledger("resume a queue").resume(checked_queue(queue))


def paused() -> list[Pause]:
    """Return the pauses of all queues, sorted by the names of the queues.

    Raises:
        CallError, ConfigError, StoreError: as those of ``pause``.
    """
    refuse_in_loop("paused", "apaused")
    return ledger("look which queues are paused").paused()


def cancel(tasks: str | Iterable[str]) -> dict[str, str]:
    """Ask that tasks do not run, or run no further; a task that is faster wins.

    A task that waits ends when a cluster claims it. A task that runs gets ``TaskCancelled``
    within about a second; if it does not end in ``grace`` seconds, its worker is killed.
    Either way the task ends for good as a failure with the outcome ``cancelled``, which is
    stored. In a transaction of the ledger's database, this begins with its commit.

    Args:
        tasks: the id of a task, or several.

    Returns:
        What was found of each task, by its id: "ended" (nothing is asked then),
        "running", "scheduled" (for later, in the outbox), "parked", "suspended", or
        "waiting": in its queue, or not known.

    Raises:
        CallError: an argument is wrong, or an event loop would wait: see ``acancel``.
        ConfigError: the project has no ledger.
        StoreError: the ledger or the results cannot be reached, or tables are missing.
    """
    refuse_in_loop("cancel", "acancel")
    ids = required_ids(tasks, "cancel")
    if not ids:
        return {}
    control = ledger("cancel a task")
    ended = {id for part in chunks(ids, _MOST) for id in current.results.finished(part)}
    found = control.cancel([id for id in ids if id not in ended])
    running = _running() if len(found) + len(ended) < len(ids) else set()
    return {
        id: "ended" if id in ended
        else found.get(id, "running" if id in running else "waiting")
        for id in ids
    }  # fmt: skip


def _running() -> set[str]:
    """Return the ids of the tasks that clusters say they run; none where nobody can tell."""
    try:
        return {
            worker.task_id
            for cluster in status.running()
            for worker in cluster.workers
            if worker.task_id
        }
    except QcoreError:
        return set()  # it is only told: the tasks are marked already


def checked_queue(queue: object) -> str:
    """Return the name of a queue.

    Raises:
        CallError: no queue can have it.
    """
    if fault := queue_fault(queue):
        raise CallError(f"the name of the queue {fault}.")
    assert isinstance(queue, str)
    return plain(queue)


def ledger(purpose: str) -> ControlLike:
    """Return what writes down pauses and cancelled tasks.

    Raises:
        ConfigError: the project has none.
    """
    found = current.control
    if found is None:
        raise ConfigError(
            f"cannot {purpose}: that takes the tables of the ledger, and this project has"
            " none. Add 'qcore' to INSTALLED_APPS, or set Q_CLUSTER['ledger'] to the alias"
            " of a database of PostgreSQL, MariaDB, MySQL or SQLite; then run: python"
            " manage.py migrate"
        )
    return found
