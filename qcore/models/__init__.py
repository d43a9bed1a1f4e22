"""Tables of the core: results, schedules with their slots, and the quarantine."""

from __future__ import annotations

from ..results.moments import moment
from .quarantine import Quarantine
from .schedules import Schedule, ScheduleSlot
from .tasks import FAILED, SHORT, SUCCEEDED, Failure, Success, Task

__all__ = [
    "FAILED",
    "SHORT",
    "SUCCEEDED",
    "Failure",
    "Quarantine",
    "Schedule",
    "ScheduleSlot",
    "Success",
    "Task",
    "moment",
]
