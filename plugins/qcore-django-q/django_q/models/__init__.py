"""The models of django-q: proxies of those of qcore, with the old fields and methods."""

from __future__ import annotations

from .moved import Moved
from .queue import OrmQ
from .schedules import Schedule, validate_cron, validate_kwarg
from .tasks import (
    Failure,
    FailureManager,
    Success,
    SuccessManager,
    Task,
    as_task,
)

__all__ = [
    "Failure",
    "FailureManager",
    "Moved",
    "OrmQ",
    "Schedule",
    "Success",
    "SuccessManager",
    "Task",
    "as_task",
    "validate_cron",
    "validate_kwarg",
]
