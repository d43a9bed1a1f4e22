"""IronMQ: a private server with its protocol, or the real one.

No server of IronMQ is published. The private one, in ``ironmq_server``, follows the
vendor's reference of the API, v3, and refuses what that says is refused. The same tests run on
the real service, with queues of their own that they delete, when these are set::

    QCORE_TEST_IRONMQ_PROJECT_ID=... QCORE_TEST_IRONMQ_TOKEN=... \
    QCORE_TEST_IRONMQ_HOST=mq-aws-us-east-1-1.iron.io pytest plugins/qcore-ironmq
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from .base import LoopbackServer

PROJECT = "5f0c0ffee0ddba11"
TOKEN = "s3cret-of-ironmq"
PROGRAM = Path(__file__).parent / "ironmq_server"


class IronMQServer(LoopbackServer):
    """Runs the private server; its data is in a file, and survives ``kill``.

    IronMQ counts whole seconds, and 30 of them at least for a reservation. With
    ``pace`` 20 the server counts 20 seconds while one goes by, so that what it is
    sent stays within the limits, and 30 of its seconds take 1.5.
    """

    def __init__(self, pace: float = 1.0) -> None:
        self.pace = pace
        super().__init__()

    def command(self) -> list[str]:
        return [
            sys.executable,
            str(PROGRAM),
            *("--port", str(self.port)),
            *("--file", str(self.folder / "queues.sqlite3")),
            *("--project", PROJECT),
            *("--token", TOKEN),
            *("--pace", str(self.pace)),
        ]

    def ready(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.")

    @property
    def options(self) -> dict[str, object]:
        """The value of ``Q_CLUSTER['iron_mq']``."""
        return {
            "host": self.host,
            "port": self.port,
            "protocol": "http",
            "project_id": PROJECT,
            "token": TOKEN,
        }


def real_options() -> dict[str, object] | None:
    """Return the value of ``Q_CLUSTER['iron_mq']`` for the real service, if told."""
    prefix = "QCORE_TEST_IRONMQ_"
    found: dict[str, object] = {
        name.removeprefix(prefix).lower(): value
        for name, value in os.environ.items()
        if name.startswith(prefix)
    }
    return found or None
