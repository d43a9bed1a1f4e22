"""Starts the clusters of tests as forks of a process that has Django loaded.

To load Django costs a cluster four fifths of the processor time of its start, and tests
start hundreds of clusters. So one process for each pytest loads it once, and then becomes
what `LiveCluster` asks for: ``python -m qcore cluster`` with its own settings, folder,
environment, session and log.

A pytest plugin; ``-p no:support.quick_starts`` starts each cluster as users do. So does
``LiveCluster`` where a fork would not be the same: where a test gives it an environment,
another Python or a ``sitecustomize``, or has limited what its own process may use. What
the start of a process does is tested that way in tests/engine/test_live_starts.py.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pytest

#: What a cluster imports, as far as it can be imported before the settings are known.
LOADED = (
    "django.contrib.admin.filters",
    "django.contrib.admin.options",
    "django.contrib.admin.sites",
    "django.contrib.admin.views.main",
    "django.contrib.auth.apps",
    "django.contrib.auth.hashers",
    "django.contrib.contenttypes.apps",
    "django.contrib.messages.apps",
    "django.contrib.sessions.apps",
    "django.contrib.staticfiles.apps",
    "django.core.cache.backends.dummy",
    "django.core.cache.backends.locmem",
    "django.core.mail",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.writer",
    "django.template.defaulttags",
    "django.template.loader_tags",
    "django.templatetags.i18n",
    "django.views.debug",
    "django.views.generic",
    "qcore.apps",
    "qcore.cli.cluster",
    "qcore.cluster.run",
)
#: Key of Q_CLUSTER -> the driver that a cluster imports for it; loaded when it is needed
#: first, for some take a second. None of a reporter: tests look whether a cluster has it.
DRIVERS = {"redis": "redis", "sqs": "boto3", "mongo": "pymongo", "iron_mq": "requests"}
#: Seconds between two looks of somebody who waits for the end of a cluster.
_PAUSE = 0.01


class Loaded:
    """The process that has Django loaded, seen from pytest. It ends with pytest."""

    #: The one of this process; made when the first cluster is started.
    own: ClassVar[Loaded | None] = None

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C of a terminal is for the test run
            )
        self._channel = Connection(ours.detach())
        self.of = os.getpid()
        self.limits = _limits()  # its own as well, and those of its forks
        self.cpu = 0.0  # seconds, of clusters that have ended
        atexit.register(self.close)

    @classmethod
    def here(cls) -> Loaded:
        """Return the one of this process, which a fork of pytest does not share."""
        if cls.own is None or cls.own.of != os.getpid():
            cls.own = cls()
        return cls.own

    @property
    def pid(self) -> int:
        """The parent of the clusters that it starts."""
        return self._process.pid

    def ask(self, question: str, *words: Any) -> Any:
        """Ask it, and return the answer."""
        self._channel.send((question, *words))
        return self._channel.recv()

    def close(self) -> None:
        """End it; the clusters that it has started live as long as their tests want."""
        if os.getpid() == self.of:
            self._channel.close()
            self._process.kill()
            self._process.wait()


class Fork:
    """A cluster that was started so; what `LiveCluster` needs of a ``Popen``."""

    def __init__(
        self,
        loaded: Loaded,
        drivers: Sequence[str],
        words: Sequence[str],
        folder: Path,
        log: Path,
        env: Mapping[str, str],
    ) -> None:
        self._loaded = loaded
        place = str(folder), str(log)
        self.pid: int = loaded.ask("start", [*drivers], [*words], *place, dict(env))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it has ended; None while it runs."""
        if self.returncode is None:
            ended = self._loaded.ask("poll", self.pid)
            if ended is not None:
                self.returncode, seconds = ended
                self._loaded.cpu += seconds
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired("qcore cluster", timeout or 0)
            time.sleep(_PAUSE)
        return code

    def kill(self) -> None:
        """Kill it; the number is its own until ``poll`` has told of its end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _limits() -> object:
    """Return what children of this process inherit and a fork of another one does not."""
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    limits = [resource.getrlimit(getattr(resource, name)) for name in names]
    affinity = getattr(os, "sched_getaffinity", lambda _pid: None)(0)
    return limits, affinity, os.getpriority(os.PRIO_PROCESS, 0)


def _has_customize(path: Sequence[str]) -> bool:
    """Whether Python imports something at its start that this one has not imported."""
    imported = getattr(sys.modules.get("sitecustomize"), "__file__", None)
    files = [Path(folder, "sitecustomize.py") for folder in path]
    return any(file.exists() and str(file) != imported for file in files)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have all clusters of the kit started so."""
    from qcore.testing.cluster import LiveCluster

    as_users_do, python = LiveCluster._spawn, sys.executable

    def spawn(self: LiveCluster, command: list[str], path: list[str]) -> Any:
        is_special = self._environ or sys.executable != python or _has_customize(path)
        if is_special or Loaded.here().limits != _limits():
            return as_users_do(self, command, path)
        words = command[command.index("qcore") :]
        drivers = [DRIVERS[key] for key in self._changes["Q_CLUSTER"] if key in DRIVERS]
        env = self._environment(path)
        return Fork(Loaded.here(), drivers, words, self._folder, self._log_path, env)

    LiveCluster._spawn = spawn  # type: ignore[method-assign, assignment]


# -- the process ---------------------------------------------------------------------------
def serve(channel: Connection) -> list[str]:
    """Start what is asked for; returns in the process that is to become a cluster."""
    while True:
        question, *words = channel.recv()
        if question == "poll":
            channel.send(_ended(words[0]))
            continue
        drivers, *place = words
        for name in drivers:
            if importlib.util.find_spec(name):
                importlib.import_module(name)
        if pid := os.fork():
            channel.send(pid)
        else:
            channel.close()
            return _become(*place)


def _ended(pid: int) -> tuple[int, float] | None:
    """Return the exit code of a cluster and its processor seconds; None while it runs."""
    ended, status, used = os.wait4(pid, os.WNOHANG)
    if not ended:
        return None
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def _become(words: list[str], folder: str, log: str, env: dict[str, str]) -> list[str]:
    """Be a new process with this command, folder, log and environment."""
    os.setsid()
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(env)
    # as Python does at its start: the folder, then PYTHONPATH, then what is installed
    sys.path[:0] = [folder, *env["PYTHONPATH"].split(os.pathsep)]
    return words


def main() -> None:
    """Load Django, and become a cluster as often as somebody asks for one."""
    del sys.path[0]  # the folder of this file, which Python has put there
    for name in LOADED:
        importlib.import_module(name)
    if importlib.util.find_spec("setproctitle"):
        # it looks for its place beside the environment, before that moves
        importlib.import_module("setproctitle").getproctitle()
    try:
        name, *words = serve(Connection(int(sys.argv[1])))
    except EOFError:
        return  # pytest has ended
    sys.argv[:] = [name, *words]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def spent() -> float:
    """Return the processor seconds of the clusters of this process that have ended."""
    return Loaded.own.cpu if Loaded.own is not None else 0.0


def parents() -> set[int]:
    """Return whose children the clusters of this process are."""
    return {os.getpid()} | ({Loaded.own.pid} if Loaded.own is not None else set())


if __name__ == "__main__":
    main()
