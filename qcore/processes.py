"""The processes of this host, with what is needed to tell whose they are."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment."""

    pid: int
    parent: int
    group: int
    session: int
    state: str  # the letter of ps: R, S, D, T (stopped), Z (ended, not reaped)

    @property
    def lives(self) -> bool:
        """Whether it has not ended; a zombie has."""
        return self.state not in ("Z", "X")


def processes() -> list[Process]:
    """Return every process that can be seen; zombies too."""
    if (_PROC / "self" / "stat").exists():
        found = (_from_proc(path) for path in _PROC.glob("[0-9]*/stat"))
        return [process for process in found if process is not None]
    return _from_ps()


def _from_proc(path: Path) -> Process | None:
    try:
        text = path.read_text(errors="replace")
    except OSError:  # it has ended since the folder was listed
        return None
    # the name stands in brackets and may hold brackets and blanks: proc(5)
    state, parent, group, session = text.rpartition(")")[2].split()[:4]
    return Process(int(path.parent.name), int(parent), int(group), int(session), state)


def _from_ps() -> list[Process]:
    command = ["ps", "-axo", "pid=,ppid=,pgid=,stat="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = []
    for line in lines.splitlines():
        pid, parent, group, state = line.split()[:4]
        try:
            session = os.getsid(int(pid))
        except OSError:  # it has ended, or belongs to somebody else
            continue
        found.append(Process(int(pid), int(parent), int(group), session, state[0]))
    return found
