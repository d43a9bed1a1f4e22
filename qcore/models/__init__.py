"""Tables of the core: results, schedules with their slots, the ledger, and the quarantine."""

from __future__ import annotations

from ..results.moments import moment
from . import fixtures as _fixtures  # noqa: F401 - listens to loaddata
from .ledger import OutboxRow, QueuePause, Ticket
from .quarantine import Quarantine
from .schedules import Schedule, ScheduleSlot
from .tasks import DEAD, FAILED, SHORT, SUCCEEDED, Failure, Success, Task
from .tracked import Tracked

__all__ = [
    "DEAD",
    "FAILED",
    "SHORT",
    "SUCCEEDED",
    "Failure",
    "OutboxRow",
    "Quarantine",
    "QueuePause",
    "Schedule",
    "ScheduleSlot",
    "Success",
    "Task",
    "Ticket",
    "Tracked",
    "moment",
]
