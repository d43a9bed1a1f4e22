"""A bench from its first line to its last; whatever happens, nothing is left behind."""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..cli.exits import OK
from ..cli.output import write_json, write_lines
from ..cluster.subprocess import Child, terminable
from ..conf import cpu_count
from ..monitor.screen import width
from ..monitor.text import number
from ..runtime import current
from . import cluster, ground, working
from .ground import Ground
from .report import Report
from .sending import Sent, in_batches, one_by_one
from .tasks import Records

#: What can be measured, in the order in which it is.
PARTS = ("start", "latency", "enqueue", "batch", "drain")
#: Tasks of a measurement of latency, at most: 200 tell where 99 % end.
_LATENCIES = 200


def run(options: Namespace, out: TextIO) -> int:
    """Measure, tidy up, and return the exit code.

    Args:
        options: ``tasks``, ``seconds`` (for each part, at most), ``workers`` (None: as
            in the settings), ``only`` (of ``PARTS``; empty means all) and ``json``.
        out: where the figures go; progress goes to stderr.

    Raises:
        BrokerUnavailable: there is nothing to measure; nothing is left behind but what
            could not be reached.
        ConfigError: the settings are wrong, or keep tasks within one process.
        ChildFailed: the cluster could not start, or has ended too early.
    """
    queue = ground.new_queue()
    with terminable(), ground.measured(queue, options.workers) as own:
        current.broker().ping()
        _say(f"on the queue {queue}, which is removed at the end")
        bench = Bench(own, options)
        try:
            bench.measure()
        finally:
            ground.clear(bench.sent.ids)
    if options.json:
        write_json(out, bench.report.as_dict())
    else:
        write_lines(out, bench.report.render(width()))
    return OK


class Bench:
    """The parts, on a queue of their own."""

    def __init__(self, own: Ground, options: Namespace) -> None:
        self.sent = Sent(ground.task_options())
        self._ground = own
        self._tasks: int = options.tasks
        self._seconds: float = options.seconds
        self._ran = 0  # tasks that earlier clusters have run
        self._parts = [part for part in PARTS if part in (options.only or PARTS)]
        self.report = Report(
            broker=current.broker().info(),
            results=ground.results_in(),
            workers=current.conf.workers,
            processors=cpu_count(),
            notes=[*own.notes, *ground.neighbours()],
        )

    def measure(self) -> None:
        """Measure what is wanted, one part after the other."""
        with tempfile.TemporaryDirectory(prefix="qcore-bench-") as name:
            folder = Path(name)
            if "start" in self._parts or "latency" in self._parts:
                self._idle(folder)
            self._send()
            if "drain" in self._parts:
                self._drain(folder)

    def _idle(self, folder: Path) -> None:
        """Start a cluster with one task to do, and see how quick it is at single ones."""
        self.sent.one()
        began = time.time()
        with self._cluster(folder, "start") as (child, records):
            working.await_first(child, records)
            self.report.start = min(records.read().values()) - began
            working.settle()
            self.report.idle = working.memory(child)
            if "latency" in self._parts:
                tasks = min(_LATENCIES, self._tasks)
                _say(f"latency, {number(tasks)} tasks one after the other")
                self.report.latency = working.latency(
                    child, records, self.sent, tasks, self._seconds
                )
                self._tell(tasks, self.report.latency.tasks, "latency")
        self._ran = len(self.sent.ids)

    def _send(self) -> None:
        if "enqueue" in self._parts:
            _say(f"enqueue, {number(self._tasks)} tasks one by one")
            found = one_by_one(self.sent, self._tasks, self._seconds)
            self.report.enqueue = found
            self._tell(self._tasks, found.tasks, "enqueue")
        # a drain needs a full queue, whoever fills it
        if "batch" in self._parts or "drain" in self._parts:
            _say(f"batch, {number(self._tasks)} tasks in batches")
            found = in_batches(self.sent, self._tasks, self._seconds)
            self.report.batch = found
            self._tell(self._tasks, found.tasks, "batch")

    def _drain(self, folder: Path) -> None:
        """Let a cluster of its own work off what the other parts have sent."""
        waiting = self.sent.ids[self._ran :]
        with self._cluster(folder, f"drain, {number(len(waiting))} tasks") as started:
            child, records = started
            found = working.drain(child, records, waiting, self._ran, self._seconds)
        self.report.drain = found
        self._tell(found.tasks, found.stored, "drain")

    @contextmanager
    def _cluster(self, folder: Path, what: str) -> Iterator[tuple[Child, Records]]:
        _say(what)
        records = Records(folder / "records")
        records.clear()
        child = cluster.start(self._ground, folder, records.path)
        try:
            yield child, records
        finally:
            child.stop()

    def _tell(self, wanted: int, done: int, part: str) -> None:
        if done < wanted:
            self.report.unfinished.append(
                f"{part}: {number(done)} of {number(wanted)} tasks in the"
                f" {self._seconds:g} s there were; more with --seconds."
            )


def _say(text: str) -> None:
    sys.stderr.write(f"qcore bench: {text}\n")
    sys.stderr.flush()
