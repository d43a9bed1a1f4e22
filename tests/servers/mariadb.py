"""A private MariaDB server, which also stands for MySQL."""

from __future__ import annotations

import socket

from .base import LoopbackServer, find_program


class MariaDBServer(LoopbackServer):
    """Runs ``mariadbd`` with the user ``root`` and no password; root becomes ``mysql``."""

    account = "mysql"
    user = "root"

    def __init__(self, *options: str) -> None:
        self._mariadbd = find_program("mariadbd")
        self._install = find_program("mariadb-install-db")
        self._options = options
        super().__init__()

    def prepare(self) -> None:
        log_in = "--auth-root-authentication-method=normal"
        data = f"--datadir={self.folder / 'data'}"
        self.run(self._install, "--no-defaults", data, log_in, "--skip-test-db")

    def command(self) -> list[str]:
        return [
            self._mariadbd,
            "--no-defaults",  # must be the first option
            f"--datadir={self.folder / 'data'}",
            f"--port={self.port}",
            f"--bind-address={self.host}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--tmpdir={self.folder}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",  # as Django's notes on MySQL ask for
            # Small and quick: 64 MB instead of 128, no flush to disk at each commit.
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=2",
            *self._options,
        ]

    def ready(self, connection: socket.socket) -> bool:
        # The server speaks first: 4 bytes of header, then version 10 of the protocol.
        greeting = connection.recv(5)
        return greeting[4:] == b"\x0a"

    def database(self, name: str = "mysql") -> dict[str, object]:
        """Return the entry of Django's ``DATABASES`` for database ``name``."""
        return self.settings(self.port, name)

    @classmethod
    def settings(cls, port: int, name: str) -> dict[str, object]:
        """Return that entry for a server of another process, known by its port."""
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": name,
            "USER": cls.user,
            "PASSWORD": "",
            "HOST": cls.host,
            "PORT": port,
            "OPTIONS": {"charset": "utf8mb4"},
        }
