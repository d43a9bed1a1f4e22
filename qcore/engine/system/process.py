"""Runs in: workers and the sentinel. What the operating system is told and asked."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

_PAGE_KB = resource.getpagesize() // 1024
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h

#: Seconds of the longest wait in one call of the system. Settings may be much longer, and
#: epoll takes 24.8 days at most, select and the locks of Python a little more.
LONGEST_WAIT = 3600.0

# loaded before the first fork, so that children need not; only Linux has prctl
libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel signal this process when its parent dies (Linux; else nothing).

    Elsewhere a worker notices by its socket, at the end of its task.

    Args:
        parent: the process id of the parent.
        number: of the signal.
    """
    if libc is None:
        return
    libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def become_subreaper() -> None:
    """Have descendants that lose their parent fall to this process (Linux; else nothing)."""
    if libc is not None:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def leave_to_sentinel(number: int) -> None:
    """Ignore a signal that a terminal or a service manager sends to the whole cluster.

    The process gets a handler and not SIG_IGN, because programs that a task starts would
    inherit SIG_IGN. A process that a task forks behaves as if there were no handler.
    """
    owner = os.getpid()

    def ignore(_number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    signal.signal(number, ignore)


def rss_kb() -> int:
    """Return the resident memory of this process, kB.

    Linux tells the present size; elsewhere it is the peak, as getrusage has it.
    """
    try:
        return rss_kb_of("self")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak


def rss_kb_of(pid: int | str) -> int:
    """Return the resident memory of a process of this host, kB (Linux).

    Raises:
        OSError: it has ended, or the system does not tell.
    """
    statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY)
    try:
        return int(os.read(statm, 200).split()[1]) * _PAGE_KB
    finally:
        os.close(statm)


def processors_of(index: int, each: int, available: Sequence[int]) -> list[int]:
    """Return the processors of a worker, as the documented tables have them.

    Args:
        index: the worker's place, from 0.
        each: how many processors a worker gets (setting ``cpu_affinity``).
        available: the processors there are, in order.

    Returns:
        ``each`` neighbours, going round; ``[]`` where the setting has no effect.
    """
    count = len(available)
    if not 0 < each < count:
        return []
    return [available[(index * each + step) % count] for step in range(each)]


def bind(index: int, each: int) -> None:
    """Bind this worker to its processors, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return
    chosen = processors_of(index, each, sorted(os.sched_getaffinity(0)))
    if chosen:
        os.sched_setaffinity(0, chosen)


def set_title(title: str) -> None:
    """Name this process for ps, where setproctitle is installed."""
    if _setproctitle is not None:
        _setproctitle(title)


_setproctitle: Callable[[str], None] | None
try:
    from setproctitle import setproctitle
except ImportError:
    _setproctitle = None
else:
    _setproctitle = setproctitle


def how_it_died(status: int, *, ours: bool = False, rss: int = 0) -> str:
    """Return what a wait status says: ``killed by SIGKILL`` or ``exit code 3``.

    Args:
        status: what waitpid gave.
        ours: whether the cluster has killed it.
        rss: its resident memory when it was last measured, kB; 0 where it is not known.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if ours or -code != signal.SIGKILL:
        return f"killed by {name}"
    # nobody else sends it but a person, who knows; the kernel tells no reason
    size = f"; last RSS {rss:,} kB" if rss else ""
    return f"killed by {name}, probably out of memory{size}"
