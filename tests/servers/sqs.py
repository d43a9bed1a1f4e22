"""Private servers that speak the protocol of Amazon SQS; both keep queues in memory."""

from __future__ import annotations

import socket

from .base import LoopbackServer, find_program
from .environments import find_server

#: What the servers do not check, and boto3 wants.
REGION = "eu-west-1"


class SQSServer(LoopbackServer):
    """A server that answers HTTP on its port."""

    @property
    def url(self) -> str:
        """The endpoint that boto3 takes."""
        return f"http://{self.host}:{self.port}"

    def ready(self, connection: socket.socket) -> bool:
        host = f"{self.host}:{self.port}".encode()
        connection.sendall(b"GET /none HTTP/1.0\r\nHost: " + host + b"\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.")


class MotoServer(SQSServer):
    """Runs ``moto_server``, the most faithful of those that need no account."""

    def __init__(self) -> None:
        self._program = find_server("moto", "moto_server")
        super().__init__()

    def command(self) -> list[str]:
        return [self._program, "-H", self.host, "-p", str(self.port)]


class MinistackServer(SQSServer):
    """Runs ``ministack`` with nothing but SQS; it forgets a receipt that has expired."""

    def __init__(self) -> None:
        self._program = find_server("ministack", "ministack")
        super().__init__()

    def command(self) -> list[str]:
        # without BIND_HOST it would listen on every address of the machine
        settings = (
            f"BIND_HOST={self.host}",
            f"GATEWAY_PORT={self.port}",
            "SERVICES=sqs",
            f"TMPDIR={self.folder}",
        )
        return [find_program("env"), *settings, self._program]
