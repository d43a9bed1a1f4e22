"""The words of the tables: states of a run, and kinds of steps."""

from __future__ import annotations

from enum import StrEnum

#: The name of the plugin's entry point.
PLUGIN = "flows"


class RunState(StrEnum):
    """Where a run is that has not ended."""

    RUNNING = "running"  # a worker has it
    WAITING = "waiting"  # it goes on as soon as a worker has time
    SUSPENDED = "suspended"  # it sleeps, or waits for an event
    NEEDS_VERSION = "needs version"  # the function does not accept its version


class Kind(StrEnum):
    """What a step is."""

    STEP = "step"
    ATOMIC = "atomic"
    SLEEP = "sleep"
    WAIT = "wait"
