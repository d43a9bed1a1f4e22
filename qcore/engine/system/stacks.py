"""Runs in: every process. Where its stacks are written, when it crashes or is asked.

The stacks go to standard error. If the project has closed standard error, or replaced it
by an object that is no file, no stacks are written, and everything else works.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys

logger = logging.getLogger("qcore.cluster")


def _where() -> int | None:
    """Return the descriptor of standard error, where there is one.

    The number 2 alone proves nothing. After standard error is closed, the next descriptor
    that is opened gets this number, perhaps that of a database.
    """
    for stream in (sys.stderr, sys.__stderr__):
        try:
            return stream.fileno()  # type: ignore[union-attr]
        except (AttributeError, OSError, ValueError):
            continue
    return None


def write_when_it_crashes() -> None:
    """Have a crash in C, and SIGUSR1, write the stacks of this process."""
    where = _where()
    if where is None:
        # registered all the same: by default the signal would end the process
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        return
    faulthandler.enable(file=where)
    faulthandler.register(signal.SIGUSR1, file=where, all_threads=True)


def write() -> None:
    """Write the stacks of this process now."""
    where = _where()
    if where is None:
        logger.warning("stacks cannot be written: standard error is not a file")
        return
    faulthandler.dump_traceback(file=where, all_threads=True)
