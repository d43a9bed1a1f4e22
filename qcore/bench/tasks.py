"""The task that is measured, and the file in which it says when it ran.

Only the task knows when it began: what is read from a table is later.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: The environment variable with the path of the file.
VARIABLE = "QCORE_BENCH_RECORDS"
#: Bytes of a record: number and time in fixed columns, and a newline.
_RECORD = 10 + 1 + 17 + 1
_file: tuple[int, int] | None = None  # pid, descriptor


def noop(number: int) -> int:
    """Record when it ran, with one append, and return its argument."""
    global _file  # noqa: PLW0603 - one descriptor for each process
    pid = os.getpid()
    if _file is None or _file[0] != pid:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        _file = pid, os.open(os.environ[VARIABLE], flags, 0o600)
    os.write(_file[1], b"%10d %17.6f\n" % (number, time.time()))
    return number


class Records:
    """The file of records, read by the process that sent the tasks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def count(self) -> int:
        """Return how many there are, those of attempts that were repeated included."""
        try:
            return self.path.stat().st_size // _RECORD
        except FileNotFoundError:
            return 0

    def read(self) -> dict[int, float]:
        """Return when each task ran first, epoch seconds, in the order of their ends."""
        found: dict[int, float] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                number, at = line.split()
                found.setdefault(int(number), float(at))
        return found

    def clear(self) -> None:
        """Forget them; no worker may be running."""
        self.path.unlink(missing_ok=True)
