"""A control group of a test's own, with a limit that the kernel holds to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qcore.testing.speed import Patience

_ROOT = Path("/sys/fs/cgroup")
#: The file with the limit, in the first version of control groups and in the second.
_LIMITS = {
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "pids": ("pids.max", "pids.max"),
}


class ControlGroup:
    """One control group; ``None`` as a limit means none."""

    def __init__(self, folder: Path, limit_file: str) -> None:
        self._folder = folder
        self._limit = folder / limit_file

    def take(self, pid: int) -> None:
        """Move a process in; what it starts from now on is in it, too."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def limit(self, value: int) -> None:
        self._limit.write_text(str(value))

    def close(self) -> None:
        """Let everybody go, and remove it."""
        home = self._folder.parent / "cgroup.procs"
        for pid in (self._folder / "cgroup.procs").read_text().split():
            try:
                home.write_text(pid)
            except ProcessLookupError:  # it has ended meanwhile
                continue
        patience = Patience(5)
        while True:  # the kernel counts what has just ended for a moment longer
            try:
                return self._folder.rmdir()
            except OSError:
                if patience.is_over():
                    raise
                time.sleep(0.01)


@contextmanager
def control_group(controller: str) -> Iterator[ControlGroup]:
    """Make a control group for memory (bytes) or pids, or skip where that is not allowed."""
    first, second = _LIMITS[controller]
    older = _ROOT / controller
    home, limit_file = (older, first) if older.is_dir() else (_ROOT, second)
    folder = home / f"qcore-test-{controller}-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    group = ControlGroup(folder, limit_file)
    try:
        if not (folder / limit_file).exists():
            pytest.skip(f"the control groups of this host have no {controller}")
        yield group
    finally:
        group.close()
