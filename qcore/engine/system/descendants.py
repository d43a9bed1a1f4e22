"""Runs in: workers and the sentinel. What a worker's tasks have started, and left.

A kill of a worker reaches its process group. A daemon has left this group: it has made a
session of its own, and its parent has ended. On Linux a worker is a subreaper: such an
orphan becomes a child of the worker and not of init, so the descendants of a worker are
known as long as the worker lives. On other systems this module finds nothing.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from ...processes import Process, processes
from .process import become_subreaper

logger = logging.getLogger("qcore.worker")

#: Whether the family of a worker can be told.
IS_KNOWN = sys.platform == "linux"


def adopt_orphans() -> None:
    """Let processes that lose their parent become children of this worker (Linux)."""
    if IS_KNOWN:
        become_subreaper()


def has_children() -> bool:
    """Whether this process has any child, ended or not; cheap, for after each task."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def outside_group(pid: int) -> list[Process]:
    """Return the descendants of a worker that a kill of its group does not reach."""
    if not IS_KNOWN:
        return []
    below: dict[int, list[Process]] = {}
    for process in processes():
        below.setdefault(process.parent, []).append(process)
    family, look = [], [pid]
    while look:
        children = below.get(look.pop(), [])
        family += children
        look += [child.pid for child in children]
    return [process for process in family if process.group != pid and process.lives]


def outside_group_of_this_process() -> list[Process]:
    """Return the descendants of this worker that left its group."""
    return outside_group(os.getpid())


def end_outside_group(pid: int) -> None:
    """Kill the descendants that have left the group of a living worker, and log them."""
    # Held before they are looked for again: a number that was given to somebody else
    # between the two looks is not in the family, and is left alone.
    held = {one.pid: fd for one in outside_group(pid) if (fd := _hold(one.pid)) >= 0}
    try:
        for one in outside_group(pid) if held else []:
            if one.pid in held:
                logger.warning("ending %s, left by worker %d", describe(one), pid)
                _signal(held[one.pid])
    finally:
        for fd in held.values():
            os.close(fd)


def _hold(pid: int) -> int:
    """Return a descriptor of a process; -1 if it has ended or the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # Linux before 5.3
        return -1


def _signal(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError as error:
        logger.debug("a process has ended, or belongs to another user: %s", error)


def describe(process: Process) -> str:
    """Return pid and name of a process; its arguments are not ours to tell."""
    try:
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
    except OSError:
        name = "ended"
    return f"process {process.pid} ({name})"


def reap_orphans() -> None:
    """Reap children that have ended and that nobody in this process waits for.

    Init would reap orphans, but this process has taken the place of init. Children that
    Python has started are left alone: Python may still ask for their status.
    """
    if (module := sys.modules.get("multiprocessing")) is not None:
        module.active_children()  # reaps its own
    ended = {p.pid for p in processes() if p.parent == os.getpid() and not p.lives}
    if not ended:
        return
    # type() and not isinstance(), which would wake lazy objects
    awaited = {o.pid for o in gc.get_objects() if issubclass(type(o), subprocess.Popen)}
    for pid in ended - awaited:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            logger.debug("child %d has been reaped meanwhile", pid)
