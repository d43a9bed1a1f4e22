"""One turn of one peer: enqueue, start its workers, wait until all is done and quiet."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from work import RECORD, read_records

if TYPE_CHECKING:
    from stores import Store

HERE = Path(__file__).parent
#: Seconds for one turn at most.
_LIMIT = 120.0
#: The tree is quiet when it uses less than this share of a core for this long.
_QUIET_SHARE, _QUIET_FOR = 0.1, 0.5


@dataclass(frozen=True, slots=True)
class Figures:
    """What one turn showed; rates per second, CPU in seconds per thousand tasks."""

    enqueue: float
    drain: float
    stored: float
    cpu: float
    lost: int
    twice: int


def measure(peer: str, python: Path, store: Store, tasks: int) -> Figures:
    """Run one turn.

    Raises:
        RuntimeError: the workers did not finish in time; with what they wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ,
            **store.fresh(),
            "BENCH_PEER": peer,
            "BENCH_RECORDS": str(Path(folder) / "records"),
            "DJANGO_SETTINGS_MODULE": "bench_settings",
            "PYTHONPATH": str(HERE),
        }
        _ask(python, env, "setup")
        enqueue = _ask(python, env, "enqueue", str(tasks))["rate"]
        return _drain(peer, python, env, tasks, enqueue)


def _ask(python: Path, env: dict[str, str], *words: str) -> dict[str, float]:
    """Run the producer's side of a peer in its own environment."""
    command = [str(python), str(HERE / "producer.py"), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _drain(
    peer: str, python: Path, env: dict[str, str], tasks: int, enqueue: float
) -> Figures:
    records = Path(env["BENCH_RECORDS"])
    command = [str(python), str(HERE / "producer.py"), "work"]
    with tempfile.TemporaryFile("w+") as output:
        root = psutil.Popen(command, env=env, stdout=output, stderr=output)
        try:
            _wait_for(records, tasks, root)
            quiet, cpu = _wait_quiet(root)
        except TimeoutError as error:
            output.seek(0)
            raise RuntimeError(f"{peer}: {error}\n{output.read()[-2000:]}") from error
        finally:
            _end(root)
    found = read_records(records)
    first, last = min(r.start for r in found), max(r.end for r in found)
    ids = {record.task for record in found}
    return Figures(
        enqueue=round(enqueue, 1),
        drain=round((tasks - 1) / (last - first), 1),
        stored=round((tasks - 1) / (max(last, quiet) - first), 1),
        cpu=round(1000 * cpu / tasks, 3),
        lost=tasks - len(ids),
        twice=len(found) - len(ids),
    )


def _wait_for(records: Path, tasks: int, root: psutil.Popen) -> None:
    deadline = time.time() + _LIMIT
    while not records.exists() or records.stat().st_size < tasks * RECORD:
        if time.time() > deadline or root.poll() is not None:
            size = records.stat().st_size if records.exists() else 0
            raise TimeoutError(f"{size // RECORD} of {tasks} tasks ran")
        time.sleep(0.02)


def _wait_quiet(root: psutil.Popen) -> tuple[float, float]:
    """Return since when the tree has been quiet, and the CPU that it had used by then."""
    deadline = time.time() + _LIMIT
    before, since = _cpu(root), time.time()
    while True:
        time.sleep(_QUIET_FOR)
        now, at = _cpu(root), time.time()
        if (now - before) / (at - since) < _QUIET_SHARE or at > deadline:
            return since, now
        before, since = now, at


def _tree(root: psutil.Popen) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu(root: psutil.Popen) -> float:
    """Return the CPU seconds of a tree, those of ended children included."""
    total = 0.0
    for process in _tree(root):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        ended = times.children_user + times.children_system
        total += times.user + times.system + ended
    return total


def _end(root: psutil.Popen) -> None:
    processes = _tree(root)
    for process in processes[:1]:
        process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=5)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)
