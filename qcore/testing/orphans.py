"""Has a cluster of a test end with the process of the test, however that ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

# Waits for a line or for the end of its input. A line is a dismissal; the end alone says
# that whoever held the other end of the pipe is dead. SIGKILL to the sentinel is enough
# for the rest of the cluster, which ends within two seconds of it; its process group has
# the dispatcher in it.
_SCRIPT = 'read word || { kill -9 "-$1"; sleep 3; rm -rf -- "$2"; }'


class OrphanGuard:
    """A shell that kills a cluster when this process is gone, killed by SIGKILL even.

    It costs a millisecond, and does nothing while this process lives.

    Args:
        sentinel: the pid of the cluster, which leads a process group.
        folder: what is left of the cluster, to be deleted after its end.
    """

    def __init__(self, sentinel: int, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "qcore-live", str(sentinel), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C of a terminal is for the test run
        )

    def dismiss(self) -> None:
        """End the watch, for the cluster has ended; safe to call again."""
        if self._process.poll() is None:
            self._process.communicate(b"done\n")
