"""What else the machine does meanwhile: rows of a busy moment are told from calm ones."""

from __future__ import annotations

import os
import time
from pathlib import Path

from qcore.processes import tree

_TICKS = os.sysconf("SC_CLK_TCK")


def _busy() -> float:
    """Return the CPU seconds of the whole machine: user, nice, system, interrupts."""
    user, nice, system, _idle, _wait, irq, softirq = map(
        int, Path("/proc/stat").read_text().split()[1:8]
    )
    return (user + nice + system + irq + softirq) / _TICKS


class Watch:
    """Tells how many cores others have used since it was made.

    Others are all but this process with everything that it has started, its servers
    among them.
    """

    def __init__(self) -> None:
        self._began, self._busy, self._ours = time.time(), _busy(), _ours()

    def foreign(self) -> float:
        """Return the cores that others used on average."""
        others = (_busy() - self._busy) - (_ours() - self._ours)
        return round(max(0.0, others / (time.time() - self._began)), 2)


def _ours() -> float:
    return sum(process.cpu for process in tree([os.getpid()]))


def wait_calm(seconds: float) -> None:
    """Wait until others use less than 0.15 cores, ``seconds`` at most."""
    deadline = time.time() + seconds
    while time.time() < deadline:
        watch = Watch()
        time.sleep(0.5)
        if watch.foreign() < 0.15:
            return
