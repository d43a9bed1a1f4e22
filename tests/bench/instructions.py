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
from typing import NamedTuple

#: Calls of a step: first as many as fill its caches, then so many more.
_WARM, _MORE = 50, 200
#: Seconds for all: valgrind is fifty times as slow as the processor.
_PATIENCE = 900


class Pair(NamedTuple):
    """Two forks of which the second does more."""

    words: list[str]  # what they do, for the table
    more: int  # instructions that the second one executes more


def render() -> list[str]:
    """Return the lines of a table.

    Raises:
        LookupError, subprocess.CalledProcessError: as ``count``.
    """
    from qcore.bench.writer import Table, as_markdown

    rows = [[*pair.words, f"{pair.more / _MORE:,.0f}"] for pair in count(__file__)]
    return as_markdown([Table(["where", "step", "instructions"], rows, right={2})])


def count(script: str) -> list[Pair]:
    """Return what pairs of forks execute.

    Args:
        script: runs in valgrind, with a folder as its argument. There it writes "forks": for
            each pair a line with the words and the two process ids, by tabs.

    Raises:
        LookupError: valgrind is not installed.
        subprocess.CalledProcessError: it failed; what it wrote is on stderr.
    """
    if shutil.which("valgrind") is None:
        raise LookupError(
            "valgrind counts instructions. Type: apt-get install valgrind"
        )
    with tempfile.TemporaryDirectory(prefix="qcore-bench-") as name:
        counts = Path(name) / "counts"
        counts.mkdir()
        command = ["valgrind", "--quiet", "--tool=callgrind"]
        command += [f"--callgrind-out-file={counts}/%p"]
        subprocess.run(
            [*command, sys.executable, script, name],
            # so that dicts and sets are walked in the same order each time
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=sys.stderr,
            timeout=_PATIENCE,
            check=True,
        )
        pairs = []
        for line in (Path(name) / "forks").read_text().splitlines():
            *words, few, many = line.split("\t")
            more = _total(counts / many) - _total(counts / few)
            pairs.append(Pair(words, more))
        return pairs


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
            numbers = [fork(step.work, times) for times in (_WARM, _WARM + _MORE)]
            print(step.where, step.what, *numbers, sep="\t", file=forks, flush=True)


def fork(work: Callable[[], object], times: int) -> int:
    """Do something so many times in a fork; return its process id when it has ended."""
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
