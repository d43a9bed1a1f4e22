"""A private server that speaks the protocol of MongoDB."""

from __future__ import annotations

import socket
import struct

from .base import LoopbackServer
from .environments import find_server

# OP_MSG (2013) with one section of kind 0: {hello: 1, $db: "admin"}, in BSON.
_HELLO = (
    b"\x10hello\x00" + struct.pack("<i", 1) + b"\x02$db\x00\x06\x00\x00\x00admin\x00"
)
_DOCUMENT = struct.pack("<i", len(_HELLO) + 5) + _HELLO + b"\x00"
_MESSAGE = struct.pack("<iiiiiB", 21 + len(_DOCUMENT), 1, 0, 2013, 0, 0) + _DOCUMENT


class MongoServer(LoopbackServer):
    """Runs ``secantusd-py``: WiredTiger behind the wire protocol, a replica set of one.

    Written with ``j``, data survives ``kill``. It needs two seconds to stop, and hangs
    when an index is made while the first document makes the collection. ``options`` are further words of the command line, such as
    ``"--auth"``.
    """

    def __init__(self, *options: str) -> None:
        self._program = find_server("mongo", "secantusd-py")
        self.options = options
        super().__init__()

    def command(self) -> list[str]:
        place = ["--host", self.host, "--port", str(self.port)]
        data = ["--storage-path", str(self.folder / "data"), "--cache-size", "64M"]
        return [self._program, *place, *data, *self.options]

    def ready(self, connection: socket.socket) -> bool:
        connection.sendall(_MESSAGE)
        return b"maxWireVersion" in connection.recv(4096)

    @property
    def uri(self) -> str:
        """The URI that clients take."""
        return f"mongodb://{self.host}:{self.port}"
