"""Show the clusters that run now: what every worker does, the queue, the rates.

In a terminal the view is drawn again every second until you type q; into a
file or a pipe it is written once.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TextIO

from .exits import OK, UNHEALTHY
from .output import add_json, write_json, write_lines

HELP = "watch the running clusters"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_json(parser)
    add_watching(parser)


def add_watching(parser: ArgumentParser) -> None:
    """Add the arguments of a verb that can go on watching."""
    parser.add_argument(
        "--run-once",
        action="store_true",
        help="show the clusters once and end, also in a terminal",
    )
    add_interval(parser)


def add_interval(parser: ArgumentParser) -> None:
    """Add the seconds between two looks."""
    parser.add_argument(
        "--interval",
        type=_interval,
        default=1.0,
        metavar="SECONDS",
        help="time between two looks (default: 1)",
    )


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise ArgumentTypeError(f"{text!r} is not from 0.1 to 3600 seconds")
    return value


def run(options: Namespace, out: TextIO) -> int:
    """Show the clusters; 3 says that none is running or that one has a problem."""
    from ..monitor.look import Watcher
    from ..monitor.plain import render
    from ..monitor.screen import is_terminal, width
    from ..monitor.text import Paint

    if is_terminal(out) and not (options.run_once or options.json):
        from ..monitor.clusters import watch_clusters

        watch_clusters(options.interval, out)
        return OK
    view = Watcher().look()
    if options.json:
        write_json(out, view.as_dict())
    else:
        write_lines(out, render(view, width(), Paint(out)))
    return OK if view.healthy else UNHEALTHY
