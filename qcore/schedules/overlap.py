"""Overlap: whether the run before of a schedule has ended, for schedules that must know.

The tasks of such a schedule are tracked. A row is written before the slot is, so a run
that has fired is known from then on, until its one end is stored.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ..clock import Clock
from ..errors import ConfigError
from ..models import ScheduleSlot
from ..runtime import current
from ..tasks import state
from ..tasks.state import State

if TYPE_CHECKING:
    from ..envelope import Task
    from ..models import Schedule

logger = logging.getLogger("qcore.scheduler")

ALLOW, SKIP, QUEUE = "allow", "skip", "queue"
#: What ``overlap`` may be.
CHOICES = (ALLOW, SKIP, QUEUE)

#: Seconds after which a run of which nobody has heard is taken for lost: its queue was
#: purged, for example. Otherwise the schedule would never run again.
LOST = 86_400.0


def is_exclusive(row: Schedule) -> bool:
    """Return whether no two runs of a schedule may overlap."""
    return row.overlap in (SKIP, QUEUE)


def require_tracker() -> None:
    """Refuse a schedule whose runs must not overlap, where no run can be tracked.

    Raises:
        ConfigError: the project keeps no tracked tasks.
    """
    if current.tracker is None:
        raise ConfigError(
            "overlap needs tracked tasks, which are kept in a database. Add 'qcore' to"
            " INSTALLED_APPS, with results in SQLite, PostgreSQL, MariaDB or MySQL (or"
            " Q_CLUSTER['ledger'] naming such a database)"
        )


def track(task: Task) -> None:
    """Note that a run is sent; one that is noted already is left as it is.

    Raises:
        StoreError: the database does not take it now.
    """
    from ..tasks.tracking import Entry

    tracker = current.tracker
    assert tracker is not None, "require_tracker has refused that"
    tracker.write([Entry(task, task.queue)])


def open_run(row: Schedule) -> str | None:
    """Return the id of the run before, where it has not ended; None: it has.

    Raises:
        ConfigError: the project keeps no tracked tasks.
        StoreError: the database cannot be asked.
    """
    require_tracker()
    tracker = current.tracker
    run = None if tracker is None or not row.task else tracker.find(row.task)
    if run is None or run.finished is not None or row.task is None:
        return None
    heard = max(run.enqueued, run.attempted or 0.0)
    if time.time() + Clock.offset - heard < LOST or _is_somewhere(run.task_id):
        return run.task_id
    logger.warning(
        "schedule %s: nobody has heard of the run before (task %s) for a day, so it is taken"
        " for lost", row, row.task,
    )  # fmt: skip
    return None


def _is_somewhere(task_id: str) -> bool:
    """Return whether a cluster runs a task, or the ledger sends it later."""
    slots = ScheduleSlot.objects.filter(task_id=task_id, sent=None)
    place = state.place_of(task_id)
    return place in _PLACES or slots.exists()


_PLACES = (State.RUNNING, State.SCHEDULED, State.PARKED, State.SUSPENDED, State.WAITING)
