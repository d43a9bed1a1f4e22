"""A cluster as a child of this process, started and ended like anybody's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..engine.system.process import die_with_parent
from ..errors import QcoreError

#: Seconds that the cluster has to stop before it is killed.
PATIENCE = 15.0


class ChildFailed(QcoreError):
    """The cluster could not start, or has ended too early."""


class Child:
    """A process that runs a cluster, with its log in a file of ``folder``.

    Args:
        words: its command line.
        folder: where ``cluster.log`` is written.
        environment: its environment; None means that of this process.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = folder / "cluster.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the parent, which then stops the cluster in order
                start_new_session=True,
                # a parent that is killed cannot stop its cluster; the kernel does
                preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - one thread
            )

    @property
    def pid(self) -> int:
        """The pid of the sentinel."""
        return self._process.pid

    def check(self) -> None:
        """Raise ``ChildFailed`` with the end of the log if it has ended."""
        if (code := self._process.poll()) is not None:
            raise ChildFailed(
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
def running(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Run a cluster for the length of a ``with``."""
    child = Child(words, folder, environment)
    try:
        yield child
    finally:
        child.stop()


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does: in order."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
