"""The tasks that every peer runs, and the records they leave.

Each writes a fixed-width record with one append, so that counts, losses, doubles and
times come from the tasks and not from the books of a peer.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

#: Bytes of a record: mark, task, start, end and pid in fixed columns, and a newline.
RECORD = 1 + 11 + 18 + 18 + 9
_file: tuple[int, int] | None = None  # pid, descriptor


class Record(NamedTuple):
    """One execution; times are seconds since the epoch."""

    mark: str  # E: it has ended; S: it has started, from tasks that are killed
    task: int
    start: float
    end: float
    pid: int


def _write(mark: bytes, task: int, start: float) -> None:
    global _file  # noqa: PLW0603 - one descriptor for each process
    pid = os.getpid()
    if _file is None or _file[0] != pid:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        _file = pid, os.open(os.environ["BENCH_RECORDS"], flags, 0o666)
    line = b"%s%10d %17.6f %17.6f %8d\n" % (mark, task, start, time.time(), pid)
    os.write(_file[1], line)


def noop(task: int) -> int:
    """Return the argument."""
    _write(b"E", task, time.time())
    return task


def sleep10(task: int) -> int:
    """Sleep for 10 ms."""
    return _sleep(task, 0.010, mark_start=False)


def sleep100(task: int) -> int:
    """Sleep for 100 ms, and say so at the start, too."""
    return _sleep(task, 0.100, mark_start=True)


def sleep3000(task: int) -> int:
    """Sleep for three seconds, and say so at the start, too."""
    return _sleep(task, 3.0, mark_start=True)


def until_cancelled(task: int) -> int:
    """Wait until somebody cancels it; say when it begins, and when that has reached it."""
    start = time.time()
    _write(b"S", task, start)
    try:
        time.sleep(600)
    finally:
        _write(b"E", task, start)
    return task


def _sleep(task: int, seconds: float, *, mark_start: bool) -> int:
    start = time.time()
    if mark_start:
        _write(b"S", task, start)
    time.sleep(seconds)
    _write(b"E", task, start)
    return task


#: name -> task; what a peer registers.
KINDS = {task.__name__: task for task in (noop, sleep10, sleep100, sleep3000)}


def count_records(path: Path) -> int:
    """Return how many records a file has; 0 where there is none."""
    try:
        return path.stat().st_size // RECORD
    except FileNotFoundError:
        return 0


def read_records(path: Path) -> list[Record]:
    """Return the records of a file, in the order written."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        if len(line) != RECORD - 1:
            continue  # its writer was killed
        task, start, end, pid = line[1:].split()
        found.append(Record(line[0], int(task), float(start), float(end), int(pid)))
    return found
