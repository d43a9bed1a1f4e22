"""Load: what runs beside the tests of a session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nox

HERE = Path(__file__).resolve().parents[1]


@contextmanager
def soak_beside(session: nox.Session) -> Iterator[None]:
    """Run a soak of two minutes while the session does something else.

    It waits more than it works, and so it costs less there than it would by itself. It
    is left out where the session was asked for some tests only.
    """
    if session.posargs or os.environ.get("QCORE_SOAK") == "0":
        yield
        return
    folder = HERE / ".nox" / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    python = Path(session.bin) / "python"
    pytest = [str(python), "-m", "pytest", "-q", "--no-header"]
    # its clusters are started as users do: it watches their memory
    words = ["-m", "soak", "-s", "--timeout=0", "--minutes=2", f"--report={folder}"]
    words += ["-p", "no:support.quick_starts"]
    log = folder / "log.txt"
    with log.open("w") as out:
        run = subprocess.Popen(
            [*pytest, *words, "-p", "no:cacheprovider", "tests/faults/test_soak.py"],
            cwd=HERE,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
            failed = run.wait() != 0
        finally:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)  # so that it ends its clusters
                run.wait()
    session.log(log.read_text())
    if failed:
        session.error(f"the soak failed; see {folder.relative_to(HERE)}")


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    """Keep processors busy; the loops end with this process, however it ends."""
    loop = [sys.executable, str(HERE / "tests" / "support" / "busy.py")]
    running = [subprocess.Popen(loop) for _ in range(number)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
