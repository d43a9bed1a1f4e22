"""A private server that speaks the protocol of Disque, written for these tests.

No package has Disque itself. The server is in ``disque_server`` and follows what a real
1.0-rc1 was seen to say; it is alone, so what a cluster of nodes does is not tested.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from .base import LoopbackServer

PROGRAM = Path(__file__).parent / "disque_server"
#: Of a server that asks for one; no log may show it.
PASSWORD = "s3cret-of-disque"


class DisqueServer(LoopbackServer):
    """Runs one node with nothing on disk.

    With ``appendonly`` every job is on disk before its reply; ``options`` are further
    words of the command line, such as ``"--dialect", "module"``.
    """

    def __init__(self, *options: str, appendonly: bool = False) -> None:
        self._options = options
        self._keep = "yes" if appendonly else "no"
        super().__init__()

    def command(self) -> list[str]:
        place = ["--port", str(self.port), "--dir", str(self.folder)]
        keep = ["--appendonly", self._keep]
        return [sys.executable, str(PROGRAM), *place, *keep, *self._options]

    def ready(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        # a node with a password answers, too
        return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))

    @property
    def address(self) -> str:
        """The node, as it stands in ``disque_nodes``."""
        return f"{self.host}:{self.port}"

    def ask(self, *words: object) -> object:
        """Send one command over a connection of its own; return the reply."""
        with redis.Redis(port=self.port, protocol=2) as client:
            return client.execute_command(*words)


@contextmanager
def running_nodes(
    number: int, *, appendonly: bool = False
) -> Iterator[list[DisqueServer]]:
    """Run nodes that have not met; ``appendonly`` keeps the jobs of each on disk."""
    with ExitStack() as running:
        started = []
        for _ in range(number):
            node = DisqueServer(appendonly=appendonly)
            node.start()
            running.callback(node.close)
            started.append(node)
        yield started
