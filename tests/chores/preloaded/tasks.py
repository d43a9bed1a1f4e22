"""Imported once for all workers, or once in each."""

from __future__ import annotations

import os

from qcore.schedules import every

IMPORTED_IN = os.getpid()


@every(seconds=1, name="beat", cluster="preloading")
def beat() -> str:
    return "beat"


def imported_in() -> tuple[int, int]:
    """Return the process that imported this module, and the one that runs the task."""
    return IMPORTED_IN, os.getpid()
