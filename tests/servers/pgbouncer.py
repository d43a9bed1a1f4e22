"""A private PgBouncer in transaction mode, before a private PostgreSQL."""

from __future__ import annotations

import signal
import socket
import struct
from typing import TYPE_CHECKING

from .base import LoopbackServer, find_program
from .postgres import PROTOCOL, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Mapping


class PgBouncerServer(LoopbackServer):
    """Runs ``pgbouncer`` before a PostgreSQL of its own, which starts and ends with it."""

    account = "postgres"  # it refuses to run as root
    stop_signal = signal.SIGINT

    def __init__(self) -> None:
        self._program = find_program("pgbouncer")
        self.behind = PostgresServer()
        super().__init__()

    def prepare(self) -> None:
        self.behind.start()
        settings: Mapping[str, object] = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "max_client_conn": 200,
            "default_pool_size": 50,
            "server_login_retry": 1,
            "ignore_startup_parameters": "extra_float_digits,options",
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        place = f"host={self.behind.host} port={self.behind.port}"
        place += f" user={self.behind.user}"
        text = ["[databases]", f"* = {place}", "[pgbouncer]", *lines]
        path = self.folder / "pgbouncer.ini"
        path.write_text("\n".join(text) + "\n")
        path.chmod(0o644)

    def command(self) -> list[str]:
        return [self._program, str(self.folder / "pgbouncer.ini")]

    def ready(self, connection: socket.socket) -> bool:
        words = f"user\0{self.behind.user}\0database\0postgres\0\0".encode()
        connection.sendall(struct.pack("!II", len(words) + 8, PROTOCOL) + words)
        return connection.recv(1) == b"R"

    def database(self, name: str = "postgres") -> dict[str, object]:
        """Return the entry of Django's ``DATABASES`` for database ``name``."""
        entry = self.behind.settings(self.port, name)
        return {**entry, "DISABLE_SERVER_SIDE_CURSORS": True}

    def close(self) -> None:
        super().close()
        self.behind.close()
