"""Measure what this project's broker, database and machine can do together.

Sends tasks that do nothing to a queue of their own, with the settings of the
project, and lets clusters of their own work on it. Queue and results are
removed at the end, also after Ctrl-C. Other clusters and their tasks are not
touched, but they share processors, broker and database with it.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import TextIO

from .exits import REFUSED, USAGE
from .numbers import whole
from .output import add_json, complain

HELP = "measure rates, latency, memory and CPU with this project's settings"
_PARTS = ("start", "latency", "enqueue", "batch", "drain")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "--tasks",
        type=whole(1, 10_000_000),
        default=5000,
        metavar="N",
        help="tasks to send one by one, and once more in batches (default: 5000)",
    )
    parser.add_argument(
        "--seconds",
        type=whole(1, 86_400),
        default=20,
        metavar="N",
        help="longest time of each part (default: 20)",
    )
    parser.add_argument(
        "--workers",
        type=whole(1, 1024),
        metavar="N",
        help="worker processes (default: as in Q_CLUSTER)",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=_PARTS,
        metavar="PART",
        help=f"this part, and others so named: {', '.join(_PARTS)}",
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Measure; 75 says that the broker cannot be reached."""
    if not hasattr(os, "fork"):
        complain(
            "qcore bench needs Linux or macOS, as the cluster that it measures does.\n"
        )
        return REFUSED
    from ..doctor.tables import faults

    if found := list(faults()):
        complain("".join(f"error: {fault}\n" for fault in found))
        return USAGE
    from ..bench.runner import run as run_bench

    return run_bench(options, out)
