"""The words of the tables: states of a run, and kinds of steps."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

#: The name of the plugin's entry point.
PLUGIN = "flows"
#: The option that names the run by which a task was spawned.
SPAWNED_BY = "spawned_by"
#: The content of an answer that says that what a run waits for has not come in time.
TOO_LATE = "too late"


class RunState(StrEnum):
    """Where a run is that has not ended."""

    RUNNING = "running"  # a worker has it
    WAITING = "waiting"  # it goes on as soon as a worker has time
    SUSPENDED = "suspended"  # it sleeps, or waits for an event or for tasks
    NEEDS_VERSION = "needs version"  # the function does not accept its version


class Kind(StrEnum):
    """What a step is."""

    STEP = "step"
    ATOMIC = "atomic"
    SLEEP = "sleep"
    WAIT = "wait"
    SPAWN = "spawn"
    WAIT_TASKS = "wait for tasks"


class _Raise:
    def __repr__(self) -> str:
        return "RAISE"


#: As the default of a wait: raise ``EventTimeout`` or ``WaitTimeout``.
RAISE: Final = _Raise()
