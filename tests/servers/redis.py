"""A private Redis or Valkey server."""

from __future__ import annotations

import socket

from .base import LoopbackServer, ServerMissing, find_program


class RedisServer(LoopbackServer):
    """Runs ``redis-server`` (else ``valkey-server``) with nothing on disk.

    With ``appendonly`` every write is on disk before its reply, so that data
    survives ``kill``; ``options`` are further words of the command line, such as
    ``"--maxmemory", "2mb"``.
    """

    def __init__(self, *options: str, appendonly: bool = False) -> None:
        self._program = _find_server()
        self._options = options
        self._appendonly = appendonly
        super().__init__()

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


def _find_server() -> str:
    try:
        return find_program("redis-server")
    except ServerMissing:
        return find_program("valkey-server")
