"""Which workers of a cluster have come up, as its sentinel tells a service manager."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

#: The longest path of a socket that every system takes (``sun_path`` of macOS has 104 bytes).
_LONGEST = 100
#: Longer than what the sentinel of a cluster with some thousand workers says.
_SIZE = 65_536


class Readiness:
    """Listens to a sentinel, in the place of a service manager.

    Nothing reads until ``workers`` is asked. What finds no room meanwhile is told again
    by the sentinel.

    Args:
        folder: where the socket may be; another one is made where its path is too long.
    """

    def __init__(self, folder: Path) -> None:
        self._own: str | None = None
        path = folder / "notify"
        if len(os.fsencode(path)) > _LONGEST:
            self._own = tempfile.mkdtemp(prefix="qcore-", dir="/tmp")  # short
            path = Path(self._own) / "notify"
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        #: The value of ``NOTIFY_SOCKET`` for the cluster.
        self.address = str(path)
        self._workers: frozenset[int] = frozenset()

    def workers(self) -> frozenset[int]:
        """Return the pids of the workers that have come up, as the sentinel knows."""
        while True:
            try:
                words = self._socket.recv(_SIZE).decode()
            except BlockingIOError:
                return self._workers
            for line in words.splitlines():
                name, _, value = line.partition("=")
                if name == "X_QCORE_WORKERS":
                    self._workers = frozenset(map(int, filter(None, value.split(","))))

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
