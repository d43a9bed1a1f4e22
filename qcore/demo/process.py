"""The cluster of the demo: a process of its own, started and ended like anybody's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..engine.limits import die_with_parent
from ..errors import QcoreError

#: Seconds that the cluster has to stop before it is killed.
PATIENCE = 15.0


class DemoFailed(QcoreError):
    """The cluster of the demo could not start, or has ended too early."""


class Cluster:
    """``python -m qcore cluster``, with its log in a file."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "cluster.log"
        words = [sys.executable, "-m", "qcore", "cluster"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*words, "--settings", "qcore.demo.settings"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the demo, which then stops the cluster in order
                start_new_session=True,
                # a demo that is killed cannot stop its cluster; the kernel does
                preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - one thread
            )

    @property
    def pid(self) -> int:
        """The pid of the sentinel."""
        return self._process.pid

    def check(self) -> None:
        """Raise ``DemoFailed`` with the end of the log if it has ended."""
        if (code := self._process.poll()) is not None:
            raise DemoFailed(
                f"the cluster has ended with exit code {code}. The end of its log:\n"
                + self.tail()
            )

    def tail(self) -> str:
        """Return the last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-20:])

    def stop(self) -> None:
        """Stop it in order; what has not ended by then is killed."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        # the whole session: what is left of it would outlive its folder
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Run a cluster for the length of a ``with``."""
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()
