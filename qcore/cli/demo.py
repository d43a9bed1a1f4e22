"""Run a real cluster on SQLite in a temporary folder, and watch it work.

Fast and slow tasks, one that fails, one that times out, one that kills its
worker, a chain, a group and a schedule. Ends by itself within a minute and
leaves nothing.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import TextIO

from .output import add_json

HELP = "see a cluster at work, on SQLite in a temporary folder"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "--tasks",
        type=_whole(1, 1_000_000),
        default=5000,
        metavar="N",
        help="fast tasks to send (default: 5000)",
    )
    parser.add_argument(
        "--workers",
        type=_whole(1, 64),
        default=4,
        metavar="N",
        help="worker processes (default: 4)",
    )
    parser.add_argument(
        "--seconds",
        type=_whole(5, 86_400),
        default=50,
        metavar="N",
        help="give up after this long (default: 50)",
    )
    add_json(parser)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return convert


def run(options: Namespace, out: TextIO) -> int:
    """Run the demo; 1 says that a kind of task did not end as it should."""
    from ..demo.runner import run as run_demo

    return run_demo(options, out)
