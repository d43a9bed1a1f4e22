"""Memory of every process of the clusters, read where they run.

Processes of this host are asked through /proc or, elsewhere than on Linux, psutil.
Of those on other hosts only the workers are known, by what they reported last.
"""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..status import Snapshot, route, running
from .look import absence
from .text import Paint, clip, number, size, table

SCHEMA = "qcore.memory/1"
HEADING = ("PROCESS", "PID", "RSS", "PSS", "DONE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a cluster and its memory, in kB of 1024 bytes."""

    role: str  # "sentinel", "dispatcher" or "worker 3"
    pid: int
    rss: int | None  # resident: counts pages that are shared in every process
    pss: int | None  # proportional: shared pages divided among those who share
    done: int | None = None  # tasks since it started


def processes(cluster: Snapshot) -> list[Process]:
    """Return the processes of one cluster with what is known of their memory."""
    here = cluster.host == socket.gethostname()
    found = [
        _process("sentinel", cluster.sentinel_pid, here=here),
        _process("dispatcher", cluster.dispatcher_pid, here=here),
    ]
    for worker in cluster.workers:
        rss, pss = usage(worker.pid) if here else (None, None)
        role = f"worker {worker.index}"
        reported = worker.rss if rss is None else rss
        found.append(Process(role, worker.pid, reported, pss, worker.done))
    return found


def _process(role: str, pid: int, *, here: bool) -> Process:
    return Process(role, pid, *(usage(pid) if here else (None, None)))


def usage(pid: int) -> tuple[int | None, int | None]:
    """Return resident and proportional memory of a process of this host, in kB.

    None where it cannot be told: the process has ended, belongs to somebody else, or
    the system does not know.
    """
    folder = Path(f"/proc/{pid}")
    if not folder.is_dir():
        return _usage_by_psutil(pid)
    rss = _field(folder / "status", "VmRSS:")
    pss = _field(folder / "smaps_rollup", "Pss:")  # Linux 4.14 and later
    return rss, pss


def _field(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(name):
            return int(line.split()[1])
    return None


def _usage_by_psutil(pid: int) -> tuple[int | None, int | None]:
    try:
        import psutil
    except ImportError:
        return None, None
    try:
        return psutil.Process(pid).memory_info().rss // 1024, None
    except psutil.Error:
        return None, None


def as_dict(clusters: list[Snapshot]) -> dict[str, Any]:
    """Return the memory of all clusters in the types of JSON."""
    return {
        "schema": SCHEMA,
        "unit": "kB of 1024 bytes",
        "clusters": [
            {
                "cluster": cluster.cluster,
                "host": cluster.host,
                "processes": [asdict(process) for process in processes(cluster)],
            }
            for cluster in clusters
        ],
    }


def render(clusters: list[Snapshot], width: int, paint: Paint) -> list[str]:
    """Return the memory of all clusters as lines."""
    if not clusters:
        return [clip(absence(route()), width)]
    lines: list[str] = []
    for cluster in clusters:
        found = processes(cluster)
        total = Process("total", 0, _sum(found, "rss"), _sum(found, "pss"))
        rows = [HEADING, *(_row(process) for process in (*found, total))]
        heading, *body = table(rows, right={1, 2, 3, 4}, width=width)
        label = f"{cluster.cluster[-8:]} on {cluster.host}: {cluster.state}"
        lines += ["", paint(clip(label, width), "bold"), paint(heading, "dim"), *body]
    return lines[1:]


def look(width: int, paint: Paint) -> list[str]:
    """Return the memory of the clusters that run now, as lines."""
    return render(running(), width, paint)


def _row(process: Process) -> tuple[str, ...]:
    return (
        process.role,
        str(process.pid) if process.pid else "",
        size(process.rss),
        size(process.pss),
        number(process.done) if process.done is not None else "",
    )


def _sum(found: list[Process], name: str) -> int | None:
    known = [value for p in found if (value := getattr(p, name)) is not None]
    return sum(known) if known else None
