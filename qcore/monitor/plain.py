"""A View as lines of text: 80 columns are enough, fewer do, more are used."""

from __future__ import annotations

import time

import msgspec

from ..printable import printable
from ..status import Snapshot, WorkerStatus
from .fit import choose, shares
from .look import View, absence
from .text import (
    NOTHING,
    Paint,
    bar,
    clip,
    number,
    paused,
    plural,
    rate,
    seconds,
    size,
    table,
)

HEADING = ("#", "PID", "STATE", "TASK", "FOR", "MEMORY", "DONE")

# Lines of a cluster besides its workers: a blank one, three about it, the heading.
_AROUND = 5
# Columns below which the last two columns of the table of workers are left out.
_NARROW = 60
_COLOUR = {"idle": "green", "busy": "yellow", "following up": "cyan", "ending": "dim"}


def render(
    view: View, width: int, paint: Paint, height: int | None = None
) -> list[str]:
    """Return a View as lines of at most ``width`` columns.

    Args:
        view: what has been seen.
        width: columns of the terminal.
        paint: its colours.
        height: lines that there are; None shows every worker.
    """
    lines = [paint(clip(title(view), width), "bold")]
    if view.problem:
        return [*lines, "", paint(clip(view.problem, width), "red")]
    lines.append(clip(queue_line(view), width))
    lines += [paint(clip(line, width), "yellow") for line in paused_lines(view)]
    if not view.clusters:
        return [*lines, "", clip(empty(view), width)]
    rows = [len(cluster.workers) for cluster in view.clusters]
    if height is not None:
        around = sum(_AROUND + bool(c.problem) for c in view.clusters)
        rows = shares(rows, height - len(lines) - around)
    for cluster, share in zip(view.clusters, rows, strict=True):
        lines += ["", *_cluster(view, cluster, share, width, paint)]
    return lines


def title(view: View) -> str:
    """Return the line that says whose clusters these are, and when."""
    clock = time.strftime("%H:%M:%S", time.localtime(view.at))
    return f"qcore  {view.project}  {view.broker}  {clock}"


def queue_line(view: View) -> str:
    """Return what waits and what is being worked on."""
    counts = "this broker cannot count its packages"
    if view.waiting is not None:
        counts = f"{number(view.waiting)} waiting, {number(view.claimed)} claimed"
    oldest = "" if view.oldest is None else f", the oldest for {seconds(view.oldest)}"
    return f"queue {view.queue}: {counts}{oldest}"


def paused_lines(view: View) -> list[str]:
    """Return a line for each queue that is paused."""
    return [
        f"queue {pause.queue}: {paused(msgspec.to_builtins(pause), view.at)}"
        for pause in view.paused or ()
    ]


def empty(view: View) -> str:
    """Return what to do where no cluster is seen."""
    return absence(view.route)


def headline(cluster: Snapshot, now: float) -> str:
    """Return the first line about a cluster."""
    return (
        f"{cluster.cluster[-8:]} on {cluster.host}: {cluster.state},"
        f" queue {cluster.queue}, up {seconds(cluster.uptime_at(now))}"
    )


def totals(cluster: Snapshot, per_second: float) -> str:
    """Return what a cluster has done, and how fast it is at the moment."""
    parts = [
        f"{number(cluster.succeeded)} succeeded",
        f"{number(cluster.failed)} failed",
        f"{rate(per_second)} tasks/s",
    ]
    if cluster.crashed:
        parts[1] += f" ({number(cluster.crashed)} crashed)"
    if cluster.waiting:
        parts.append(f"{number(cluster.waiting)} in hand")
    if cluster.recording:
        parts.append(f"{number(cluster.recording)} recording")
    if cluster.restarts:
        parts.append(plural(cluster.restarts, "restart"))
    if cluster.quarantined:
        parts.append(f"{number(cluster.quarantined)} quarantined")
    return ", ".join(parts)


def row(worker: WorkerStatus) -> tuple[str, ...]:
    """Return the cells of one worker, in the order of ``HEADING``."""
    return (
        str(worker.index),
        str(worker.pid),
        worker.state,
        task_of(worker),
        seconds(worker.seconds),
        size(worker.rss),
        number(worker.done),
    )


def task_of(worker: WorkerStatus) -> str:
    """Return the task of a worker, with its progress where it has told any."""
    task = worker.func or worker.task_name or NOTHING
    if worker.progress is None:
        return task
    # first: the end of a long name is cut off where a terminal is narrow
    return f"{worker.progress.text} - {task}"


def busy(cluster: Snapshot) -> int:
    """Return how many workers are not idle."""
    return sum(worker.state != "idle" for worker in cluster.workers)


def _cluster(
    view: View, cluster: Snapshot, share: int, width: int, paint: Paint
) -> list[str]:
    count = len(cluster.workers)
    load = f"{bar(busy(cluster), count, 10)} {busy(cluster)} of {count} workers busy"
    lines = [
        paint(clip(headline(cluster, view.at), width), "bold"),
        clip(f"  {totals(cluster, view.rates[cluster.cluster])}", width),
    ]
    if cluster.problem:
        lines.append(paint(clip(f"  problem: {cluster.problem}", width), "red"))
    lines.append(clip(f"  {load}", width))
    workers, more = choose(cluster.workers, share)
    rows = [HEADING, *(row(worker) for worker in workers)]
    if width < _NARROW:
        rows = [cells[:5] for cells in rows]
    heading, *body = table(rows, right={0, 1, 4, 5, 6}, flexible=3, width=width)
    lines.append(paint(heading, "dim"))
    for line, worker in zip(body, workers, strict=True):
        colour = _COLOUR.get(worker.state, "red")
        state = printable(worker.state)
        lines.append(line.replace(f" {state}", f" {paint(state, colour)}", 1))
    return [*lines, clip(f"  {more}", width)] if more else lines
