"""Check-ins of schedules: Sentry alerts when a run is missing, fails or takes too long."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sentry_sdk.crons import capture_checkin
from sentry_sdk.crons.consts import MonitorStatus

from qcore.errors import Discard, Retry, Snooze
from qcore.runtime import current

if TYPE_CHECKING:
    from qcore.envelope import Task

#: Characters of the name of a monitor that Sentry takes.
_MAX_SLUG = 50


@contextmanager
def checked_in(task: Task) -> Generator[None]:
    """Tell Sentry how a run of a schedule goes, where the project asks for it.

    Each attempt is a check-in. A task that asks to run again has not failed, and so it
    leaves its check-in open: Sentry closes it as missed if no other attempt follows in time.
    """
    if task.slot is None or not _is_wanted():
        yield
        return
    slug = slug_of(task)
    begun = time.monotonic()
    id = capture_checkin(monitor_slug=slug, status=MonitorStatus.IN_PROGRESS)
    try:
        yield
    except (Retry, Snooze):
        raise
    except BaseException as error:
        ended = MonitorStatus.OK if isinstance(error, Discard) else MonitorStatus.ERROR
        capture_checkin(slug, id, ended, time.monotonic() - begun)
        raise
    capture_checkin(slug, id, MonitorStatus.OK, time.monotonic() - begun)


def slug_of(task: Task) -> str:
    """Return the name of the monitor: that of the schedule as Sentry spells names.

    The name is the group of the task, unless the schedule has options with another group.
    """
    name = (task.group or task.func).lower()
    return re.sub(r"[^a-z0-9_]+", "-", name).strip("-")[:_MAX_SLUG]


def _is_wanted() -> bool:
    options = current.conf.error_reporter
    return bool((options.get("sentry") or {}).get("check_ins"))
