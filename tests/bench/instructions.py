"""How many instructions each step of a task executes: a figure that no load of the machine
changes, where times do not tell a small improvement from noise.

valgrind counts them (https://valgrind.org/docs/manual/cl-manual.html). Each step runs in two
forks of one process, 200 times more in the second one; what a fork has executed at its end
includes what came before it, so the difference is that of 200 steps.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

#: Calls of a step: first as many as fill its caches, then so many more.
_WARM, _MORE = 50, 200
#: Seconds for all: valgrind is fifty times as slow as the processor.
_PATIENCE = 900


def render() -> list[str]:
    """Return the lines of a table.

    Raises:
        LookupError: valgrind is not installed.
        subprocess.CalledProcessError: it failed; what it wrote is on stderr.
    """
    if shutil.which("valgrind") is None:
        raise LookupError(
            "valgrind counts instructions. Type: apt-get install valgrind"
        )
    from qcore.bench.writer import Table, as_markdown

    with tempfile.TemporaryDirectory(prefix="qcore-bench-") as name:
        counts = Path(name) / "counts"
        counts.mkdir()
        command = ["valgrind", "--quiet", "--tool=callgrind"]
        command += [f"--callgrind-out-file={counts}/%p"]
        subprocess.run(
            [*command, sys.executable, __file__, name],
            # so that dicts and sets are walked in the same order each time
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=sys.stderr,
            timeout=_PATIENCE,
            check=True,
        )
        rows = []
        for line in (Path(name) / "forks").read_text().splitlines():
            where, what, few, many = line.split("\t")
            executed = _total(counts / many) - _total(counts / few)
            rows.append([where, what, f"{executed / _MORE:,.0f}"])
    return as_markdown([Table(["where", "step", "instructions"], rows, right={2})])


def _total(path: Path) -> int:
    """Return what callgrind says a process has executed."""
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"callgrind wrote no total to {path}")
    return int(found[1])


def _fork_all(folder: Path) -> None:
    """Runs in valgrind: fork twice for each step, and note the forks' numbers."""
    from steps import set_up, steps

    set_up(folder, {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"})
    with (folder / "forks").open("w") as forks:
        for step in steps():
            numbers = [_fork(step.work, times) for times in (_WARM, _WARM + _MORE)]
            print(step.where, step.what, *numbers, sep="\t", file=forks, flush=True)


def _fork(work: Callable[[], object], times: int) -> int:
    pid = os.fork()
    if pid == 0:
        for _ in range(times):
            work()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        raise ChildProcessError(f"a step ended with status {status}")
    return pid


if __name__ == "__main__":
    _fork_all(Path(sys.argv[1]))
