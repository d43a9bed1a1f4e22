"""Gathers what the judge is told, from ledger, store and broker."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import psutil
from faults.judge import Fault, Final, History, Note

from qcore.models import ScheduleSlot, Task
from qcore.runtime import current
from qcore.tasks import async_task, fetch

if TYPE_CHECKING:
    from chores.ledger import Ledger


def send_naps(queue: str, key: str, *, count: int, seconds: float) -> dict[str, str]:
    """Send naps that take notes under ``key 0``, ``key 1`` ...; return their keys by id."""
    sent = {}
    for number in range(count):
        own = f"{key} {number}"
        sent[async_task("chores.kind.nap", own, seconds, cluster=queue)] = own
    return sent


def wait_until_forgotten(queue: str) -> dict[str, str]:
    """Wait until the cluster of a queue has forgotten all that it has acknowledged.

    The broker is told before the dispatcher forgets a delivery. A copy that comes between
    is one of a task in its hands, and left to its lease. The recorder takes one batch
    after the other: the result of a task that is sent now is stored later than that.

    Returns:
        The key of that task by its id.
    """
    sent = send_naps(queue, uuid.uuid4().hex, count=1, seconds=0)
    assert all(fetch(id, wait=60_000).success for id in sent)
    return sent


def ports_of(pid: int) -> set[int]:
    """Return our ends of the connections that a process holds open."""
    found = psutil.Process(pid).net_connections("tcp")
    return {one.laddr.port for one in found if one.raddr}


def notes_in(ledger: Ledger) -> list[Note]:
    """Return everything that tasks have noted."""
    lines = (line.split("\t") for line in ledger.path.read_text().splitlines())
    return [Note(key, event, int(pid), float(at)) for key, event, pid, at in lines]


def history_of(
    sent: Mapping[str, str],
    ledger: Ledger,
    queue: str,
    *,
    faults: Sequence[Fault] = (),
    survivors: Sequence[object] = (),
) -> History:
    """Return what has happened to tasks that were sent, and what is left of them."""
    broker = current.broker(queue)
    keys = set(sent.values())
    rows = Task.objects.filter(cluster=queue).only(
        "id", "success", "attempt_count", "crashes"
    )
    return History(
        sent=sent,
        notes=[note for note in notes_in(ledger) if note.key in keys],
        finals=[
            Final(row.id, row.success, row.attempt_count, row.crashes) for row in rows
        ],
        faults=faults,
        slots=ScheduleSlot.objects.filter(queue=queue).values_list("schedule", "slot"),
        waiting=broker.queue_size(),
        claimed=broker.lock_size(),
        survivors=survivors,
    )
