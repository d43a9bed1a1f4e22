"""A private PostgreSQL server."""

from __future__ import annotations

import signal
import socket
import struct
from pathlib import Path

from .base import LoopbackServer, find_program

# Version 3.0 of the protocol: the code of the first message of a client.
PROTOCOL = 3 << 16


class PostgresServer(LoopbackServer):
    """Runs the newest installed ``postgres``; user and database ``postgres``, no password.

    PostgreSQL refuses to run as root, so root becomes the user ``postgres`` for it.
    ``fsync`` is off, which a killed process survives and a power cut would not.
    """

    account = "postgres"
    stop_signal = signal.SIGINT  # "fast": sessions are ended, not waited for
    user = "postgres"

    def __init__(self, *options: str) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major)
        newest_first = [str(folder) for folder in reversed(folders)]
        self._postgres = find_program("postgres", *newest_first)
        self._initdb = find_program("initdb", *newest_first)
        self._options = options
        super().__init__()

    def prepare(self) -> None:
        data = str(self.folder / "data")
        trust = ["-A", "trust", "-U", self.user]
        text = ["-E", "UTF8", "--locale=C"]
        self.run(self._initdb, "-D", data, *trust, *text, "--no-sync")

    def command(self) -> list[str]:
        place = ["-D", str(self.folder / "data"), "-p", str(self.port), "-h", self.host]
        settings = ["-c", "fsync=off", "-c", "max_connections=200"]
        return [self._postgres, *place, "-k", "", *settings, *self._options]

    def ready(self, connection: socket.socket) -> bool:
        words = f"user\0{self.user}\0database\0postgres\0\0".encode()
        connection.sendall(struct.pack("!II", len(words) + 8, PROTOCOL) + words)
        # "R" is the log-in; "E" comes while the server starts or recovers.
        return connection.recv(1) == b"R"

    def database(self, name: str = "postgres") -> dict[str, object]:
        """Return the entry of Django's ``DATABASES`` for database ``name``."""
        return self.settings(self.port, name)

    @classmethod
    def settings(cls, port: int, name: str) -> dict[str, object]:
        """Return that entry for a server of another process, known by its port."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": cls.user,
            "HOST": cls.host,
            "PORT": port,
        }


def _major(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0
