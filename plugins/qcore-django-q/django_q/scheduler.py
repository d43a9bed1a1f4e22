"""The scheduler, for tests that run in one process: one look at the schedules."""

from __future__ import annotations

from typing import Any

from qcore.runtime import current


def scheduler(broker: Any = None) -> None:
    """Send the tasks of all schedules that are due.

    Args:
        broker: accepted; tasks go to the broker that the project selects.
    """
    current.scheduler.tick()
