"""A network of one thread: a cable to it can be pulled, which no end of it is told."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

#: From <linux/sched.h>.
CLONE_NEWNET = 0x40000000


class Island:
    """A thread in a network namespace of its own, and the cable to it.

    What ``run`` is given runs there. The host of the test is ``host`` for it.
    """

    def __init__(self) -> None:
        # of so many that no test of another process has the same one
        high, low = divmod(4 * secrets.randbelow(1 << 20), 256)
        network = f"10.{192 + high // 256}.{high % 256}"
        self.host, self._own = f"{network}.{low + 1}", f"{network}.{low + 2}"
        self._cable = f"qcore{secrets.token_hex(3)}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="island")

    def run(self, work: Any) -> Future[Any]:
        return self._thread.submit(work)

    def lay(self) -> None:
        """Make the namespace and the cable."""
        self.run(_leave_network).result()
        self.run(self._lay_from_there).result()
        _ip("addr", "add", f"{self.host}/30", "dev", self._cable)
        _ip("link", "set", self._cable, "up")

    def _lay_from_there(self) -> None:
        there = ["type", "veth", "peer", "name", self._cable, "netns", str(os.getpid())]
        _ip("link", "add", "cable", *there)
        _ip("addr", "add", f"{self._own}/30", "dev", "cable")
        _ip("link", "set", "cable", "up")

    def cut(self) -> None:
        """Let everything that is sent vanish; connections stay open."""
        _ip("link", "set", self._cable, "down")

    def mend(self) -> None:
        _ip("link", "set", self._cable, "up")

    def close(self) -> None:
        """End the thread, and with it the namespace and the cable."""
        self._thread.shutdown()


def _ip(*words: str) -> None:
    """Run ``ip`` in the network of the calling thread."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _leave_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def island() -> Iterator[Island]:
    """Make one; skip the test where this user may not."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    assert threading.current_thread() is threading.main_thread(), "it gets the cable"
    made = Island()
    try:
        try:
            made.lay()
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"this user may not make a network of its own: {error}")
        yield made
    finally:
        made.close()
