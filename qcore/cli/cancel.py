"""Ask that tasks do not run, or run no further.

A task that waits ends when a cluster claims it. A task that runs is told
within about a second, and killed after the setting `grace`. Either way it ends
for good, as a failure with the outcome `cancelled`. A task that is faster wins.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TextIO

from .exits import OK
from .ids import check_ids
from .output import add_json, write_json, write_lines

HELP = "ask that tasks do not run, or run no further"
SCHEMA = "qcore.cancel/1"

_WORDS = {
    "ended": "has ended; nothing is asked",
    "running": "asked; it runs now",
    "scheduled": "asked; it was to be sent later",
    "parked": "asked; it was parked",
    "suspended": "asked; it was suspended",
    "waiting": "asked; it waits in its queue, or is not known",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "ids", nargs="+", metavar="ID", help="of a task: 32 hexadecimal digits"
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Cancel tasks, and say what was found of each."""
    from ..tasks import cancel

    check_ids(options.ids)
    found = cancel(options.ids)
    if options.json:
        tasks = [
            {"id": id, "found": what, "asked": what != "ended"}
            for id, what in found.items()
        ]
        write_json(out, {"schema": SCHEMA, "tasks": tasks})
    else:
        write_lines(out, [f"{id}: {_WORDS[what]}" for id, what in found.items()])
    return OK
