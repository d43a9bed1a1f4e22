"""Tell whether the clusters of this machine work; for probes, and without Django.

The answer comes from files that the clusters write: neither the broker nor a
database is asked. The variable QCORE_RUN_DIR names the folder of the files; the
cluster and the probe need the same folder.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any, TextIO

from .. import health
from ..health import Health
from ..printable import printable
from .exits import OK, UNHEALTHY
from .output import add_json, complain, write_json, write_lines

SCHEMA = "qcore.health/1"
HELP = "tell whether the clusters of this machine work (for probes)"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--live",
        action="store_true",
        help="ask only whether each cluster is there and not hung; a cluster that waits"
        " for its broker is",
    )
    which.add_argument(
        "--ready",
        action="store_true",
        help="ask whether each cluster does tasks (the default)",
    )
    parser.add_argument(
        "-n", "--name", metavar="CLUSTER", help="only clusters of this queue"
    )
    parser.add_argument(
        "-p",
        "--project",
        metavar="NAME",
        help="only clusters of the project that has this Q_CLUSTER['name']; without it,"
        " the clusters of all projects of this machine and user are asked",
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Show the health of the clusters; 3: one does not work, or there is none."""
    found = [
        one
        for one in health.read()
        if options.name in (None, one.queue) and options.project in (None, one.name)
    ]
    told = [(one, one.not_live() if options.live else one.not_ready()) for one in found]
    healthy = bool(told) and not any(why for _, why in told)
    if options.json:
        write_json(out, _document(told, healthy=healthy, live=options.live))
    elif not told:
        complain(_nothing(options.name, options.project))
    else:
        word = "live" if options.live else "ready"
        write_lines(out, [_line(one, why, word) for one, why in told])
        projects = sorted({one.name for one in found})
        if len(projects) > 1:
            complain(
                f"these are clusters of {len(projects)} projects. To ask for those of one:"
                f" qcore health --project {printable(projects[0])}\n"
            )
    return OK if healthy else UNHEALTHY


def _line(one: Health, why: str | None, word: str) -> str:
    what = f"{one.name}, queue {one.queue}, process {one.sentinel_pid}"
    workers = f"{one.ready} of {one.workers} workers have started"
    return f"not {word}: {what}: {why}" if why else f"{word}: {what}: {workers}"


def _nothing(queue: str | None, project: str | None) -> str:
    of = f" of project {project}" if project else ""
    of += f" of queue {queue}" if queue else ""
    return (
        f"no cluster{of} has said anything on this machine (looked in {health.folder()})."
        f" If one runs: give the cluster and this command the same {health.VARIABLE}, a"
        " folder that the cluster can write to.\n"
    )


def _document(
    told: list[tuple[Health, str | None]], *, healthy: bool, live: bool
) -> dict[str, Any]:
    def entry(one: Health, why: str | None) -> dict[str, Any]:
        known = one._asdict()
        del known["written"], known["lifetime"]  # of a clock that nobody else has
        known["uptime_seconds"] = max(0.0, time.time() - one.started)
        known["silent_seconds"] = None if one.age == float("inf") else one.age
        return {**known, "healthy": why is None, "why": why}

    return {
        "schema": SCHEMA,
        "asked": "live" if live else "ready",
        "healthy": healthy,
        "folder": str(health.folder()),
        "clusters": [entry(one, why) for one, why in told],
    }
