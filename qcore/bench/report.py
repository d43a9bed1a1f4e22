"""What a bench has found, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .. import __version__
from ..monitor.text import number, plural, rate, seconds, size
from .sending import Sending
from .working import Drain, Latency, Memory
from .writer import Block, Table, as_text

SCHEMA = "qcore.bench/1"
_HEADING = ("MEASURED", "FIGURE", "OF")


@dataclass(slots=True, kw_only=True)
class Report:
    """The figures; None for what was not measured."""

    broker: str  # name and version
    results: str  # where they are stored
    workers: int
    processors: int
    notes: list[str]
    start: float | None = None  # seconds from a cluster's start to its first task
    idle: Memory | None = None
    latency: Latency | None = None
    enqueue: Sending | None = None
    batch: Sending | None = None
    drain: Drain | None = None
    unfinished: list[str] = field(default_factory=list)  # one sentence each

    def as_dict(self) -> dict[str, Any]:
        """Return it in the types of JSON."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "broker": self.broker,
            "results": self.results,
            "workers": self.workers,
            "processors": self.processors,
            "start_seconds": self.start,
            "idle_memory": _memory(self.idle),
            "latency": self.latency and _latency(self.latency),
            "enqueue": self.enqueue and _sending(self.enqueue),
            "batch": self.batch and _sending(self.batch),
            "drain": self.drain and _drain(self.drain),
            "unfinished": self.unfinished,
            "notes": self.notes,
        }

    def render(self, width: int) -> list[str]:
        """Return it as lines of text."""
        return as_text(self._blocks(), width)

    def _blocks(self) -> Iterator[Block]:
        workers = plural(self.workers, "worker")
        machine = f"{workers} on {plural(self.processors, 'processor')}"
        yield f"{self.broker}, {machine}; results in {self.results}"
        yield Table(_HEADING, list(self._rows()), right={1}, flexible=2)
        yield from self.unfinished
        yield from self.notes

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        if self.start is not None:
            yield "start to first task", seconds(self.start), ""
        if self.idle is not None:
            yield "memory when idle", size(self.idle.kb), self.idle.kind.upper()
        if (found := self.latency) is not None:
            tasks = f"{number(found.tasks)} tasks, each on its own"
            yield "latency, half are below", seconds(found.p50), tasks
            yield "latency, 95 % are below", seconds(found.p95), ""
            yield "latency, 99 % are below", seconds(found.p99), ""
        if self.enqueue is not None:
            yield "enqueue one by one", *_cells(self.enqueue)
        if self.batch is not None:
            yield f"enqueue {number(self.batch.batch)} at a time", *_cells(self.batch)
        if self.drain is not None:
            yield from _drain_rows(self.drain)


def _drain_rows(found: Drain) -> Iterator[tuple[str, str, str]]:
    tasks = f"{number(found.done)} tasks"
    yield "drain, results stored", f"{rate(found.stored_per_second)} tasks/s", tasks
    yield "CPU of 1,000 tasks", seconds(found.cpu), "the cluster; no servers"
    if found.memory is not None:
        yield "memory when drained", size(found.memory.kb), found.memory.kind.upper()


def _cells(sending: Sending) -> tuple[str, str]:
    return f"{rate(sending.per_second)} tasks/s", f"{number(sending.tasks)} tasks"


def _memory(memory: Memory | None) -> dict[str, Any] | None:
    return None if memory is None else {"kind": memory.kind, "kb": memory.kb}


def _latency(found: Latency) -> dict[str, Any]:
    return {
        "tasks": found.tasks,
        "p50_seconds": found.p50,
        "p95_seconds": found.p95,
        "p99_seconds": found.p99,
    }


def _sending(found: Sending) -> dict[str, Any]:
    return {
        "tasks": found.tasks,
        "batch": found.batch,
        "seconds": found.seconds,
        "per_second": found.per_second,
    }


def _drain(found: Drain) -> dict[str, Any]:
    return {
        "tasks": found.tasks,
        "done": found.done,
        "stored": found.stored,
        "seconds": found.seconds,
        "stored_seconds": found.stored_seconds,
        "per_second": found.per_second,
        "stored_per_second": found.stored_per_second,
        "cpu_seconds_per_thousand": found.cpu,
        "memory": _memory(found.memory),
    }
