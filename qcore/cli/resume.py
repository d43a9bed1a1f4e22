"""Let clusters claim from a paused queue again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TextIO

from .exits import OK
from .output import add_json, write_json, write_lines
from .pause import add_queues, document, doubt, told

HELP = "let clusters claim from a paused queue again"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_queues(parser)
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Resume queues, and say of each whether it was paused."""
    from ..tasks.control import checked_queue, ledger

    names = [checked_queue(name) for name in options.queues]
    doubt(names)
    control = ledger("resume a queue")
    found = [(name, control.resume(name)) for name in names]
    if options.json:
        ended = [(name, pause, pause is not None) for name, pause in found]
        write_json(out, document("resume", ended))
        return OK
    write_lines(
        out,
        [
            f"{name}: was not paused"
            if pause is None
            else f"{name}: resumed; it was {told(pause)}"
            for name, pause in found
        ],
    )
    return OK
