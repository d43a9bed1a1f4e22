"""Imported once for all workers, or once in each."""

from __future__ import annotations

import os

IMPORTED_IN = os.getpid()


def imported_in() -> tuple[int, int]:
    """Return the process that imported this module, and the one that runs the task."""
    return IMPORTED_IN, os.getpid()
