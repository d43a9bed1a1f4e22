"""Private servers that speak the protocol of Amazon SQS.

Both keep their queues in memory. ministack can be told to write them down, too, so that
they are there again after a kill, as those of AWS are.
"""

from __future__ import annotations

import socket
from pathlib import Path

from .base import LoopbackServer, find_program
from .environments import find_server

#: What the servers do not check, and boto3 wants.
REGION = "eu-west-1"

LOCKED = Path(__file__).with_name("sqs_locked.py")
WRITING = Path(__file__).with_name("sqs_durable.py")


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
    """Runs ``moto_server``, the most faithful of those that need no account.

    Under a lock, without which it gives one message to two who ask at the same moment.
    """

    def __init__(self) -> None:
        self._python = Path(find_server("moto", "moto_server")).with_name("python")
        super().__init__()

    def command(self) -> list[str]:
        program = [str(self._python), str(LOCKED)]
        return [*program, "-H", self.host, "-p", str(self.port)]


class MinistackServer(SQSServer):
    """Runs ``ministack`` with nothing but SQS; it forgets a receipt that has expired.

    With ``durable`` what it has answered survives ``kill``.
    """

    def __init__(self, durable: bool = False) -> None:
        self._program = find_server("ministack", "ministack")
        self.durable = durable
        super().__init__()

    def command(self) -> list[str]:
        # without BIND_HOST it would listen on every address of the machine
        settings = [
            f"BIND_HOST={self.host}",
            f"GATEWAY_PORT={self.port}",
            "SERVICES=sqs",
            f"TMPDIR={self.folder}",
        ]
        if not self.durable:
            return [find_program("env"), *settings, self._program]
        settings += ["PERSIST_STATE=1", f"STATE_DIR={self.folder}"]
        python = str(Path(self._program).with_name("python"))
        return [find_program("env"), *settings, python, str(WRITING)]
