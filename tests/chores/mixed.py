"""The tasks of a soak: each notes its beginning and its end, and how that came."""

from __future__ import annotations

import os
import time

from qcore import Retry, Snooze

from .ledger import Ledger, note
from .rude import cluster_of_this_worker, kill_all_of, swallow

#: Under this key is noted who kills its cluster: the task's key, and the pids.
KILLER = "cluster killer"


def work(key: str, seconds: float) -> int:
    """Take a while, and say which worker has done it."""
    note(key, "began")
    time.sleep(seconds)
    note(key, "ended")
    return os.getpid()


def fail(key: str) -> None:
    """Fail every time."""
    note(key, "began")
    note(key, "failed")
    raise ValueError("as it always does")


def retry(key: str, times: int, after: float) -> int:
    """Ask for another attempt in some seconds, so many times."""
    return _end_after(key, times, Retry(after=after))


def snooze(key: str, times: int, after: float) -> int:
    """Come again in some seconds, so many times, which uses up no attempt."""
    return _end_after(key, times, Snooze(after=after))


def _end_after(key: str, times: int, error: Retry | Snooze) -> int:
    """Raise the error so many times, and end then."""
    note(key, "began")
    if len(Ledger.of_this_process().entries(key, "failed")) < times:
        note(key, "failed")
        raise error
    note(key, "ended")
    return os.getpid()


def linger(key: str, seconds: float) -> None:
    """Take long, and note it if somebody ends that."""
    note(key, "began")
    try:
        time.sleep(seconds)
    except BaseException:
        note(key, "failed")
        raise
    note(key, "ended")


def crash_once(key: str) -> int:
    """End the process the first time."""
    earlier = Ledger.of_this_process().entries(key, "crashed")
    note(key, "began")
    if not earlier:
        note(key, "crashed")
        os._exit(3)
    note(key, "ended")
    return os.getpid()


def bulky(key: str, size: int) -> str:
    """Return something large."""
    note(key, "began")
    text = "x" * size
    note(key, "ended")
    return text


def fork_back(key: str) -> int | str:
    """Fork a child that comes back, and say which worker has done it."""
    note(key, "began")
    child = os.fork()
    if not child:
        return "from the child"
    os.waitpid(child, 0)
    note(key, "ended")
    return os.getpid()


def close_link(key: str) -> None:
    """Close all descriptors but the standard streams, and block."""
    note(key, "began")
    os.closerange(3, 1 << 16)
    time.sleep(600)


def hold_link(key: str) -> None:
    """Do the same beside a child that keeps them open: nobody sees that they are closed."""
    note(key, "began")
    if not os.fork():
        time.sleep(600)
        os._exit(0)
    os.closerange(3, 1 << 16)
    swallow(600)


def poison(key: str) -> str:
    """Return what the database refuses, see ``faults.poison``."""
    note(key, "began")
    note(key, "ended")
    return f"poison of {key}"


def kill_cluster(key: str, times: int) -> int:
    """Kill all processes of the cluster, so many times."""
    killed = Ledger.of_this_process().entries(KILLER)
    note(key, "began")
    if sum(entry.event.startswith(f"{key}: ") for entry in killed) < times:
        pids = cluster_of_this_worker()
        note(KILLER, f"{key}: {' '.join(map(str, pids))}")
        kill_all_of(pids)
    note(key, "ended")
    return os.getpid()
