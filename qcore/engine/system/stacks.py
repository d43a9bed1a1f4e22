"""Runs in: every process. Where its stacks are written, when it crashes or is asked.

To standard error, which a project may have closed, or have replaced by something that is
no file. Then they are written nowhere, and everything else works.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys

logger = logging.getLogger("qcore.cluster")


def _where() -> int | None:
    """Return the descriptor of standard error, where there is one.

    The number 2 by itself says nothing: where standard error is closed, it is that of
    whatever was opened next, perhaps of a database.
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
