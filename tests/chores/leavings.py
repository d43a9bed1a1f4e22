"""Tasks that leave something behind in their worker."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .ledger import note
from .rude import swallow

_pool = concurrent.futures.ThreadPoolExecutor(1)


def who() -> int:
    return os.getpid()


def run_out_of_memory() -> None:
    """Ask for more than this process may have."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, resource.RLIM_INFINITY))
    bytearray(1_000_000_000)


class WithoutTruth(Exception):
    """Asked whether it is true, it fails."""

    def __len__(self) -> int:
        raise TypeError("no length")


class Empty(MemoryError):
    """Asked whether it is true, it says no."""

    def __len__(self) -> int:
        return 0


def raise_without_truth() -> None:
    raise WithoutTruth("as it was told")


def raise_empty() -> None:
    raise Empty("nothing is left")


def swell_and_wait(key: str, megabytes: int) -> None:
    """Touch so much memory, and wait to be killed."""
    kept = bytearray(os.urandom(1024) * 1024 * megabytes)
    note(key, "swollen")
    time.sleep(60)
    del kept


def swell(key: str, megabytes: int) -> None:
    """Touch more and more memory, in small steps."""
    note(key, "began")
    kept = []
    for _ in range(megabytes):
        kept.append(os.urandom(1024) * 1024)
        time.sleep(0.002)
    note(key, "had it all")


def leave_thread(seconds: float) -> int:
    """Start a thread, and do not wait for it."""
    threading.Thread(target=time.sleep, args=(seconds,), name="left behind").start()
    return os.getpid()


def use_pool() -> int:
    """Use a thread that is kept for the next time."""
    return _pool.submit(os.getpid).result()


def leave_daemon(key: str) -> int:
    """Start a program in a session of its own, and without a parent."""
    child = os.fork()
    if not child:
        os.setsid()
        if grandchild := os.fork():
            note(key, f"child {grandchild}")
            os._exit(0)
        os.execvp("sleep", ["sleep", "77"])
    os.waitpid(child, 0)
    return os.getpid()


def daemon_and_defiance(key: str) -> None:
    """Do that, and swallow the timeout."""
    leave_daemon(key)
    swallow(60)


def flood(megabytes: int) -> int:
    """Write much, at once and to both."""
    for number in (1, 2):
        for _ in range(megabytes):
            os.write(number, b"flood " * 174_762 + b"end\n")
    return os.getpid()


def close_descriptors() -> int:
    os.close(1)
    os.close(2)
    return os.getpid()


def close_streams() -> int:
    sys.stdout.close()
    sys.stderr.close()
    return os.getpid()


def fork_back(key: str, how: str) -> str:
    """Fork a child that comes back in some way; return how it has ended."""
    child = os.fork()
    if child == 0:
        note(key, f"child {os.getpid()}")
        if how == "raises":
            raise ValueError("in the child")
        if how == "exits":
            sys.exit(7)
        if how == "exits with an error":
            sys.exit(ValueError("which is no number"))
        return "from the child"
    _, status = os.waitpid(child, 0)
    return f"exit code {os.waitstatus_to_exitcode(status)}"


async def fork_back_later(key: str, how: str) -> str:
    """Do the same in a coroutine, whose event loop the child shares."""
    await asyncio.sleep(0.01)
    return fork_back(key, how)


def forking_hook(task: Any) -> None:
    """Fork in a hook; the key of its notes is the name of the task."""
    note(task.name, fork_back(task.name, "returns"))


def close_everything(key: str, seconds: float) -> None:
    """Close all descriptors but the standard streams, and go on for long."""
    note(key, "began")
    os.closerange(3, 1 << 16)
    time.sleep(seconds)
