"""Bootstrap: standard streams and signals, before anything else in a process of qcore.

Nothing of Django, and nothing of a project, is imported yet.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

#: Signals that end a process by default. To the first process of a container the kernel
#: does not deliver what that has no handler for: a stop during the start would be lost.
_ENDING = ("SIGTERM", "SIGQUIT", "SIGHUP")


def prepare() -> None:
    """Prepare this process, before it loads a project."""
    open_streams()
    if os.getpid() == 1:
        handle_signals()


def open_streams() -> None:
    """Open what is closed of the standard streams, on the null device.

    The numbers 0, 1 and 2 would go to whatever is opened next, a connection to the
    database perhaps, and somebody would write a line of text into that.
    """
    for number, name, mode in (
        (0, "stdin", "r"),
        (1, "stdout", "w"),
        (2, "stderr", "w"),
    ):
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free is this one
            if os.open(os.devnull, os.O_RDWR) != number:
                continue
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(  # noqa: SIM115 - it stays open
                number, mode, closefd=False, encoding="utf-8", errors="replace"
            )
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def handle_signals() -> None:
    """End on the signals that end other processes, until a cluster takes them over."""
    for name in _ENDING:
        if number := getattr(signal, name, None):
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # nothing has begun, so that nothing has to be ended
