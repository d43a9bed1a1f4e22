"""Runs in: the sentinel. Tells systemd that the cluster is ready, lives and stops.

The protocol is that of ``sd_notify(3)``: datagrams of lines ``NAME=value`` to the socket
that ``NOTIFY_SOCKET`` names. Without that variable nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
import time

logger = logging.getLogger("qcore.sentinel")

_MICROSECONDS = 1_000_000


class ServiceManager:
    """The way to systemd, where it has started this process and waits for news of it.

    Its variables are taken out of the environment: what tasks start is no service.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # a name that is no file, on Linux
            self._address = "\0" + self._address[1:]
        self._socket: socket.socket | None = None
        self._waiting: dict[str, str] = {}  # what the manager had no room for
        #: Seconds between two signs of life: half of what systemd waits for one, as
        #: sd_watchdog_enabled(3) advises. None: systemd does not watch.
        self.cycle = _watchdog_cycle()
        self._next = 0.0  # monotonic

    @property
    def is_behind(self) -> bool:
        """Whether the manager had no room for what it was told; ``tell`` it once more."""
        return bool(self._waiting)

    def tell(self, **words: str) -> None:
        """Send variables such as ``READY="1"``; a manager that has gone is not told.

        A manager that reads nothing must not make the sentinel wait, and READY must not be
        lost: what it has no room for goes with the next words, the last value of each.
        """
        words = {**self._waiting, **words}
        if not self._address or not words:
            return
        if self._socket is None:
            self._socket = socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
            )
        lines = "\n".join(f"{name}={value}" for name, value in words.items())
        try:
            self._socket.sendto(lines.encode(), socket.MSG_DONTWAIT, self._address)
        except BlockingIOError:
            if not self._waiting:
                logger.warning("systemd reads nothing now; it is told later: %s", lines)
            self._waiting = words
            return
        except OSError as error:
            logger.warning("systemd is not told %s: %s", lines, error)
        self._waiting = {}

    def is_due(self) -> bool:
        """Return whether the next sign of life is due; if so, it is the caller's to give."""
        if self.cycle is None or time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self.cycle
        return True

    def close(self) -> None:
        """Let the socket go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watchdog_cycle() -> float | None:
    told = os.environ.pop("WATCHDOG_USEC", "")
    process = os.environ.pop("WATCHDOG_PID", "")
    # systemd watches one process: another one of the service may have started this one
    if not told.isdigit() or (process and process != str(os.getpid())):
        return None
    return int(told) / _MICROSECONDS / 2 or None
