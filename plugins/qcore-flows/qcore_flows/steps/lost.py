"""Lost: looks for spawned tasks of which nothing is heard any more, so that no run hangs."""

from __future__ import annotations

import logging

from django.db import connections

from qcore.brokers.tools import chunks
from qcore.envelope import Outcome
from qcore.runtime import current
from qcore.tasks.control import paused

from ..models.steps import Spawned
from ..settings import seconds
from ..whereabouts import whereabouts
from . import children
from .ledger import the_ledger

logger = logging.getLogger("qcore.flows")

#: Tasks that one sweep looks for, those first that were not looked for the longest time.
_LOOKED = 500


def look_for_lost(now: float) -> None:
    """Write the ends of spawned tasks that have ended unnoticed, or were lost.

    Args:
        now: seconds since the epoch, by the clock of the ledger.
    """
    ledger = the_ledger("durable tasks")
    spawned = Spawned.objects.using(ledger.database)
    rest = spawned.filter(touched__lt=now - seconds("lost_after")).order_by("touched")
    waiting = dict(rest.values_list("task_id", "run_id")[:_LOOKED])
    if not waiting or paused():  # what waits in a queue that is paused is not lost
        return
    found = whereabouts(list(waiting))
    ended = {
        id: found.get(id, children.LOST) for id in waiting if found.get(id, "lost")
    }
    values = current.results.finished(
        [id for id, outcome in ended.items() if outcome == Outcome.SUCCESS]
    )
    ends = {
        id: children.ChildEnd(outcome, values.get(id)) for id, outcome in ended.items()
    }

    def work() -> None:
        runs = [waiting[id] for id in ended]
        if not connections[ledger.database].features.has_select_for_update:
            # SQLite: a transaction that reads first may not write any more
            spawned.filter(pk=min(waiting)).update(touched=now)
        states = {
            str(id): str(state)
            for id, state in children.lock_runs(ledger, runs, ("task_id", "state"))
        }
        woken = children.end(ledger, ends, now)
        children.wake(ledger, {id: states[id] for id in woken & states.keys()})
        # the next look comes after as long a rest
        for part in chunks(sorted(waiting), children.MOST):
            spawned.filter(pk__in=part, outcome=None).update(touched=now)

    ledger.run(work)
    if ends:
        logger.warning(
            "%d spawned tasks had ended or were lost unnoticed: their runs go on",
            len(ends),
        )
