"""Tasks, and task hooks, that do what no task should."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from django.utils import timezone, translation

from qcore.errors import TaskTimeout
from qcore.processes import processes

from .kind import hold
from .ledger import Ledger, note


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def call_exit(code: int) -> None:
    sys.exit(code)


def leave(key: str, code: int) -> None:
    """End the process without a word."""
    note(key, "began")
    os._exit(code)


def leave_once(key: str, code: int) -> str:
    """End the process the first time."""
    earlier = Ledger.of_this_process().entries(key, "began")
    note(key, "began")
    if not earlier:
        os._exit(code)
    return "alive"


def segfault(key: str) -> None:
    note(key, "began")
    ctypes.string_at(0)


def block_signals(key: str, seconds: float = 60) -> None:
    """Ignore everything that can be ignored, for long."""
    note(key, "began")
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    swallow(seconds)


def swallow(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except BaseException:  # noqa: BLE001 - that is what is rude about it
            continue


def hold_interpreter(key: str) -> None:
    """Stay in C with the lock of the interpreter held, for an hour or so."""
    note(key, "began")
    sum(range(10**12))


def unprintable() -> None:
    raise Unprintable


def return_lock() -> Any:
    return threading.Lock()


def have_child(key: str) -> int:
    """Start a program that outlives the task, and wait."""
    child = subprocess.Popen(["sleep", "77"])
    note(key, f"child {child.pid}")
    time.sleep(60)
    return child.pid


def leave_transaction_open() -> None:
    from datetime import timedelta

    from django.db import transaction
    from django.utils import timezone

    from qcore.models import Schedule

    # not now: a schedule that fires once goes when it has fired
    later = {"func": "builtins.list", "next_run": timezone.now() + timedelta(days=1)}
    Schedule.objects.create(name="left behind", **later)
    transaction.set_autocommit(False)
    Schedule.objects.create(name="never committed", **later)


def grow(megabytes: int) -> int:
    """Keep memory for as long as the process lives."""
    _kept.append(bytearray(os.urandom(1024) * 1024 * megabytes))
    return os.getpid()


_kept: list[bytearray] = []


def killing_hook(task: Any) -> None:
    """Kill the worker that calls this hook."""
    note(task.group, "hook")
    os.kill(os.getpid(), signal.SIGKILL)


def raising_hook(task: Any) -> None:
    note(task.group, "hook")
    raise RuntimeError("a hook that fails")


async def never_yields(seconds: float) -> None:
    """Keep the event loop to itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def change_language_and_zone() -> None:
    translation.activate("nl")
    timezone.activate("Asia/Tokyo")


def handlers(seconds: float = 0) -> tuple[int, list[str]]:
    """Take a while, and return who this is, and what it does on signals."""
    time.sleep(seconds)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    return os.getpid(), [str(signal.getsignal(number)) for number in numbers]


def take_signals() -> tuple[int, list[str]]:
    """Ignore every signal that can be, from now on; return what there was."""
    before = handlers()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    return before


def stop_itself(key: str) -> None:
    """Stop the process; nothing but SIGKILL and SIGCONT reach it then."""
    note(key, "began")
    os.kill(os.getpid(), signal.SIGSTOP)


def have_stubborn_child(key: str) -> None:
    """Start a program, and swallow the timeout."""
    child = subprocess.Popen(["sleep", "77"])
    note(key, f"child {child.pid}")
    swallow(60)


def end_late(key: str, seconds: float) -> None:
    """Sleep through the soft timeout, and return all the same."""
    note(key, "began")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        with suppress(TaskTimeout):
            time.sleep(left)


def have_fork(key: str) -> None:
    """Fork without exec, as multiprocessing does, and wait."""
    note(key, "began")
    child = os.fork()
    if not child:
        time.sleep(30)
        os._exit(0)
    note(key, f"child {child}")
    time.sleep(60)


def end_its_session() -> int:
    """Have the server end the connection of this task in the middle of it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    return cursor.rowcount


def count_schedules() -> int:
    """Ask the database something."""
    from qcore.models import Schedule

    return Schedule.objects.count()


def connect_everywhere(key: str) -> None:
    """Use database and broker, and keep the worker busy until the test lets go."""
    from qcore.runtime import current

    count_schedules()
    current.broker().ping()
    hold(key)


def lock_both(key: str, first: int, second: int) -> None:
    """Lock two rows; whoever does it in the other order meets this one in a deadlock."""
    from django.db import connection, transaction

    from qcore.models import Schedule

    rows = Schedule.objects.select_for_update()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '50ms'")
        rows.get(pk=first)
        note(key, "has one")
        Ledger.of_this_process().wait(key, "has one", 2)
        rows.get(pk=second)
    note(key, "has both")


def orphan_a_child(key: str) -> None:
    """Leave a process that ends when its parent has gone: somebody has to reap it."""
    child = os.fork()
    if not child:
        if not os.fork():
            os.setsid()
            time.sleep(0.3)
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.6)
    note(key, "orphan left")


def kill_cluster(key: str) -> None:
    """Kill all processes of the cluster, as the kernel does with a control group."""
    note(key, "began")
    kill_all_of(cluster_of_this_worker())


def kill_all_of(cluster: list[int]) -> None:
    """Kill the processes of a cluster; the sentinel sees none of them die."""
    *others, sentinel, worker = cluster
    os.kill(sentinel, signal.SIGSTOP)
    for pid in (*others, sentinel, worker):
        with contextlib.suppress(ProcessLookupError):  # a task's child may have ended
            os.kill(pid, signal.SIGKILL)


def cluster_of_this_worker() -> list[int]:
    """Return the pids of the cluster: all others, the sentinel, and this process.

    With what its tasks have started, if the sentinel leads a session: those processes
    would be in its control group, too.
    """
    worker, sentinel = os.getpid(), os.getppid()
    ours = [p.pid for p in processes() if sentinel in (p.parent, p.session)]
    others = [pid for pid in ours if pid not in (worker, sentinel)]
    return [*others, sentinel, worker]
