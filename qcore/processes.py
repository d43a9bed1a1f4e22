"""The processes of this host, with what is needed to tell whose they are."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Process(NamedTuple):
    """One process at one moment."""

    pid: int
    parent: int
    group: int
    session: int
    state: str  # the letter of ps: R, S, D, T (stopped), Z (ended, not reaped)
    # seconds, in user and kernel; on Linux with those of ended and reaped children
    cpu: float = 0.0

    @property
    def lives(self) -> bool:
        """Whether it has not ended; a zombie has."""
        return self.state not in ("Z", "X")


def lives(pid: int) -> bool:
    """Return whether a process is there and has not ended, whoever it belongs to.

    A zombie keeps its number until its parent has reaped it, which a container without an
    init process never does.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another user's
    if (_PROC / "self" / "stat").exists():
        found = _from_proc(str(pid))
        return found is None or found.lives  # the system may hide those of other users
    state = _ps(["-o", "stat=", "-p", str(pid)], check=False).strip()
    return state[:1] not in ("Z", "X")


def processes() -> list[Process]:
    """Return every process that can be seen; zombies too."""
    if (_PROC / "self" / "stat").exists():
        with os.scandir(_PROC) as entries:
            pids = [entry.name for entry in entries if entry.name.isdigit()]
        found = (_from_proc(pid) for pid in pids)
        return [process for process in found if process is not None]
    return _from_ps()


def _from_proc(pid: str) -> Process | None:
    try:
        with open(f"{_PROC}/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - hot
            text = file.read()
    except OSError:  # it has ended since the folder was listed
        return None
    # the name stands in brackets and may hold brackets and blanks: proc(5)
    words = text.rpartition(")")[2].split()
    state, (parent, group, session) = words[0], map(int, words[1:4])
    cpu = sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    return Process(int(pid), parent, group, session, state, cpu)


def _from_ps() -> list[Process]:
    found = []
    for line in _ps(["-axo", "pid=,ppid=,pgid=,stat=,time="]).splitlines():
        pid, parent, group, state, cpu = line.split()[:5]
        try:
            session = os.getsid(int(pid))
        except OSError:  # it has ended, or belongs to somebody else
            continue
        numbers = int(pid), int(parent), int(group), session
        found.append(Process(*numbers, state[0], _seconds(cpu)))
    return found


def _ps(words: Sequence[str], *, check: bool = True) -> str:
    import subprocess  # a probe on Linux needs it not

    command = ["ps", *words]
    return subprocess.run(command, capture_output=True, text=True, check=check).stdout


def _seconds(clock: str) -> float:
    """Return the seconds of ``[[days-]hours:]minutes:seconds``, as ps has them."""
    days, _, rest = clock.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = 60 * total + float(part)
    return total + 86_400 * int(days or 0)


def tree(
    roots: Collection[int], among: Sequence[Process] | None = None
) -> list[Process]:
    """Return the living processes that descend from ``roots``, and these.

    What has a root as the leader of its session is one of them, even when its parent
    has died.
    """
    seen = processes() if among is None else among
    found = {p.pid for p in seen if p.pid in roots or p.session in roots}
    size = 0
    while size < len(found):
        size = len(found)
        found |= {p.pid for p in seen if p.parent in found}
    return [p for p in seen if p.pid in found and p.lives]
