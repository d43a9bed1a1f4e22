"""Send finished tasks again, each as a new task with an id of its own.

The new task has the arguments, the options and the hook of the old one, and
after a failure the rest of its chain. The result of a task that failed is
deleted; that of a success stays. A task without a stored result cannot be sent
again.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from .exits import FAILURE, OK
from .ids import check_ids
from .output import add_json, write_json, write_lines

if TYPE_CHECKING:
    from ..tasks.resending import Resent

HELP = "send finished tasks again"
SCHEMA = "qcore.retry/1"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "ids",
        nargs="+",
        metavar="ID",
        help="id of a finished task: 32 hexadecimal digits",
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Send tasks again; 1 says that one of them could not be sent."""
    from ..tasks import resend_many

    check_ids(options.ids)
    found = resend_many(options.ids)
    if options.json:
        tasks = [described(one) for one in found]
        write_json(out, {"schema": SCHEMA, "tasks": tasks})
    else:
        write_lines(out, lines_of(found))
    return FAILURE if any(one.error is not None for one in found) else OK


def lines_of(found: Sequence[Resent]) -> list[str]:
    """Return a line for each task."""
    from ..masking import mask_url
    from ..printable import printable

    lines = []
    for one in found:
        if one.new_id is None:
            lines.append(f"{one.id}: not sent: {printable(mask_url(str(one.error)))}")
        else:
            rest = "" if one.error is None else "; its old result is still there"
            if one.succeeded:
                rest = (
                    "; it had succeeded, so it is done once more, and its result stays"
                )
            lines.append(f"{one.id}: sent again as {one.new_id}{rest}")
    return lines


def described(one: Resent) -> dict[str, Any]:
    """Return what the documents of this verb and of ``dead`` say of a task."""
    from ..masking import mask_url

    error = None if one.error is None else mask_url(str(one.error))
    return {
        "id": one.id,
        "new_id": one.new_id,
        "succeeded": one.succeeded,
        "error": error,
    }
