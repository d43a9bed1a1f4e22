"""Whereabouts: how tasks have ended, and which of them somebody still holds."""

from __future__ import annotations

from collections.abc import Collection

from qcore import status
from qcore.envelope import Outcome
from qcore.runtime import current
from qcore.tasks.ended import is_given_up

from .tables import place


def whereabouts(ids: Collection[str]) -> dict[str, str]:
    """Return for each task that is known how it has ended, or "" where it has not.

    A task that nobody knows of is missing.

    Raises:
        QcoreError, django.db.Error: somebody cannot be asked; then nothing is known.
    """
    found = dict(place().ended(ids))
    left = [id for id in ids if id not in found]
    found |= dict.fromkeys(current.results.finished(left), str(Outcome.SUCCESS))
    running = {
        worker.task_id for cluster in status.running() for worker in cluster.workers
    }
    held = place().waiting(left) | running
    for id in left:
        if id in found:
            continue
        if id in held:
            found[id] = ""
            continue
        record = current.results.fetch(id)
        if record is None or record.id != id:
            continue
        if not record.success and is_given_up(record):
            found[id] = record.outcome
    return found
