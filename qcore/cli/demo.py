"""Run a real cluster on SQLite in a temporary folder, and watch it work.

Fast and slow tasks, a chain, a group and a schedule; tasks that fail, are tried
again with a backoff, run out of attempts, discard themselves, time out, kill
their worker, are cancelled or expire; one that overtakes others, and one that
tells its progress. Ends by itself within a minute and leaves nothing.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TextIO

from .numbers import whole
from .output import add_json

HELP = "run a cluster with sample tasks, on SQLite in a temporary folder"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "--tasks",
        type=whole(1, 1_000_000),
        default=5000,
        metavar="N",
        help="fast tasks to send (default: 5000)",
    )
    parser.add_argument(
        "--workers",
        type=whole(1, 64),
        default=4,
        metavar="N",
        help="worker processes (default: 4)",
    )
    parser.add_argument(
        "--seconds",
        type=whole(5, 86_400),
        default=50,
        metavar="N",
        help="give up after this long (default: 50)",
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Run the demo; 1 says that a kind of task did not end as it should."""
    from ..demo.runner import run as run_demo

    return run_demo(options, out)
