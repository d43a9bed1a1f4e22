"""The actions of tasks, in a file that survives the death of its writer.

Each line is written with one call, and appended: lines of several processes do not mix.

::

    def mail(key):  # a task
        note(key, "began")

    (entry,) = ledger.wait("mail-7", "began")  # in the test
    cluster.kill_worker(entry.pid)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .speed import Patience

#: The variable that names the file, set for a cluster and for whoever reads it.
VARIABLE = "QCORE_TEST_LEDGER"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that a task did."""

    key: str  # whose entry it is: the test says so when it sends the task
    event: str
    pid: int
    at: float  # monotonic, the same clock in all processes of a host


def note(key: str, event: str) -> None:
    """Append an entry."""
    line = f"{key}\t{event}\t{os.getpid()}\t{time.monotonic()}\n"
    descriptor = os.open(
        os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
    )
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


class Ledger:
    """The reader's side, in the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @classmethod
    def of_this_process(cls) -> Ledger:
        """Return the ledger that ``note`` writes to."""
        return cls(Path(os.environ[VARIABLE]))

    def entries(self, key: str, event: str | None = None) -> list[Entry]:
        """Return the entries of a key, oldest first."""
        found = []
        # up to the last whole line: of one that is being written a part may be seen
        for line in self.path.read_text().split("\n")[:-1]:
            owner, what, pid, at = line.split("\t")
            if owner == key and event in (None, what):
                found.append(Entry(owner, what, int(pid), float(at)))
        return found

    def wait(
        self, key: str, event: str, count: int = 1, timeout: float = 15.0
    ) -> list[Entry]:
        """Wait for so many entries, and return them."""
        return wait_for(
            lambda: found if len(found := self.entries(key, event)) >= count else None,
            timeout,
            f"{count} x {event!r} of {key!r}",
        )


def wait_for(ask: Callable[[], T | None], timeout: float = 15.0, what: str = "it") -> T:
    """Ask until the answer is true; fail after ``timeout`` seconds of a calm machine."""
    patience = Patience(timeout)
    while not (answer := ask()):
        assert not patience.is_over(), f"no {what} in {patience.spent:.3g} s"
        time.sleep(0.01)
    return answer
