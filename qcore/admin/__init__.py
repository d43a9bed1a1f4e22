"""The admin: tasks that have ended or are sent later, schedules, pauses, quarantined packages.

Nothing that is stored is ever unpickled here. To change a page, unregister its model
and register a subclass of its class.
"""

from __future__ import annotations

from django.contrib import admin

from ..models import (
    Failure,
    OutboxRow,
    Quarantine,
    QueuePause,
    Schedule,
    Success,
    Tracked,
)
from .outbox import OutboxAdmin
from .pauses import QueuePauseAdmin
from .quarantine import QuarantineAdmin
from .results import FailureAdmin, SuccessAdmin, TaskAdmin
from .schedules import ScheduleAdmin
from .tracked import TrackedAdmin

__all__ = [
    "FailureAdmin",
    "OutboxAdmin",
    "QuarantineAdmin",
    "QueuePauseAdmin",
    "ScheduleAdmin",
    "SuccessAdmin",
    "TaskAdmin",
    "TrackedAdmin",
]

admin.site.register(Success, SuccessAdmin)
admin.site.register(Failure, FailureAdmin)
admin.site.register(Schedule, ScheduleAdmin)
admin.site.register(Quarantine, QuarantineAdmin)
admin.site.register(OutboxRow, OutboxAdmin)
admin.site.register(QueuePause, QueuePauseAdmin)
admin.site.register(Tracked, TrackedAdmin)
