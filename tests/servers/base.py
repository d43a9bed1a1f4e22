"""A real server of our own: a free loopback port, a private folder, a known end.

Nothing here talks to a packaged service. Every server is started by the test run
that uses it, in a temporary folder, and ends with it: by the fixture, else by
``atexit``, else (on Linux, when the test run itself is killed) by the kernel.
"""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import psutil

from .patience import Patience

# Below the range that Linux and macOS use for outgoing connections (32768 and up),
# so that no client takes the port of a server that a test has just killed. Nodes of a
# Redis Cluster also listen on their port + 10,000, where no other server may be.
PORTS = range(20_000, 30_000)

# Seconds. A first start of MariaDB takes 0.7 s on an idle machine; the rest is
# room for a machine that runs two test processes on two cores.
START_SECONDS = 30.0
STOP_SECONDS = 15.0


class ServerMissing(Exception):
    """A program that the server needs is not installed here."""


class ServerFailed(Exception):
    """The server was started and did not become ready; the message holds its log."""


# The ports that were given last, each held by a socket of UDP: between the choice of a port
# and the start of its server, or while that is dead, another process of this or of another
# test run could take it. The sockets end with this process, however it ends.
_given: deque[socket.socket] = deque()
_MOST_GIVEN = 100


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that nobody else was given."""
    while True:
        port = secrets.choice(PORTS)
        hold = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                hold.bind(("127.0.0.1", port))
                probe.bind(("127.0.0.1", port))
            except OSError:
                hold.close()
                continue
        _given.append(hold)
        while len(_given) > _MOST_GIVEN:
            _given.popleft().close()
        return port


def find_program(name: str, *folders: str) -> str:
    """Return the path of ``name`` in ``folders``, PATH or sbin, or raise."""
    path = os.pathsep.join((*folders, os.environ.get("PATH", ""), "/usr/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerMissing(f"{name} is not installed")
    return found


class LoopbackServer(ABC):
    """One server process with its own port and data, controlled by a test.

    ``start`` returns when the server answers; ``kill`` and ``pause`` are the faults
    a test may do to it; ``restart`` brings it back on the same port and data.
    """

    host: ClassVar[str] = "127.0.0.1"
    # The account a server wants that refuses to run as root; unused otherwise.
    account: ClassVar[str | None] = None
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="qcore-server-"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._owner is not None:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        atexit.register(self.close)

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""

    @abstractmethod
    def ready(self, connection: socket.socket) -> bool:
        """Tell from the first bytes on a new connection whether it serves."""

    def prepare(self) -> None:  # noqa: B027 - most servers need nothing
        """Create what the first start needs, such as an empty database."""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerFailed(f"{type(self).__name__} is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the server has printed so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start the process and return when it answers on its port."""
        with socket.socket() as probe:  # or its answers would be taken for ours
            if probe.connect_ex((self.host, self.port)) == 0:
                raise ServerFailed(f"another server listens on port {self.port}")
        if not (self.folder / "log").exists():
            self.prepare()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._guard(), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = Patience(START_SECONDS)
        while not self.answers():
            if self._process.poll() is not None or deadline.is_over():
                self.kill()
                raise ServerFailed(f"{self.command()[0]} did not start:\n{self.log}")
            time.sleep(0.02)  # the pace of asking, not a guess at the startup time

    def answers(self) -> bool:
        """Tell whether the server serves a new connection now."""
        try:
            with socket.create_connection((self.host, self.port), 1) as connection:
                return self.ready(connection)
        except OSError:
            return False

    def stop(self) -> None:
        """End the server in its own orderly way; kill it when that takes too long."""
        if self._process is None:
            return
        self.resume()
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End the server and its children at once, as a power cut would (SIGKILL)."""
        if self._process is None:
            return
        family = self._family()
        self._signal(signal.SIGKILL)
        self._process.wait()
        while any(_alive(process) for process in family):
            time.sleep(0.01)
        self._process = None

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): its connections stay open and say nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def restart(self, kill: bool = False) -> None:
        """Start again on the same port and data; ``kill`` gives it no time to end."""
        if kill:
            self.kill()
        self.stop()
        self.start()

    @contextmanager
    def away(self, kill: bool = False) -> Iterator[None]:
        """End the server for the length of a ``with`` block, as ``restart`` does."""
        if kill:
            self.kill()
        self.stop()
        yield
        self.start()

    def close(self) -> None:
        """End the server and remove its folder; safe to call again."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def run(self, *command: str) -> None:
        """Run a helper program as the server's account; raise with what it printed."""
        done = subprocess.run(
            [*self._guard(), *command],
            capture_output=True,
            check=False,
            text=True,
            cwd=self.folder,
            # MariaDB removes what others have begun to write in a folder that they share
            env={**os.environ, "TMPDIR": str(self.folder)},
        )
        if done.returncode:
            raise ServerFailed(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    @property
    def _owner(self) -> pwd.struct_passwd | None:
        if self.account is None or os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam(self.account)
        except KeyError:
            raise ServerMissing(f"there is no user {self.account!r}") from None

    def _guard(self) -> list[str]:
        """Return the prefix that drops root and ties the process to this one."""
        setpriv, owner = shutil.which("setpriv"), self._owner
        if setpriv is None:
            if owner is not None:
                raise ServerMissing("setpriv (util-linux) is not installed")
            return []
        guard = [setpriv, "--pdeathsig", "KILL"]
        if owner is not None:
            guard += [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}"]
            guard += ["--clear-groups"]
        return [*guard, "--"]

    def _family(self) -> list[psutil.Process]:
        """Return the server and its children; PostgreSQL has one per connection."""
        try:
            server = psutil.Process(self.pid)
            return [server, *server.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _signal(self, number: signal.Signals) -> None:
        for process in self._family():
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


def _alive(process: psutil.Process) -> bool:
    """Tell whether a process still holds anything; a zombie holds only its number."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
