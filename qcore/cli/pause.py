"""Let no cluster claim from a queue until it is resumed.

Tasks that run go on to their end. Tasks can be sent meanwhile, and wait. The
pause outlives restarts and deploys.
"""

from __future__ import annotations

import getpass
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from .exits import OK
from .output import add_json, complain, write_json, write_lines

if TYPE_CHECKING:
    from ..status import Pause

HELP = "let no cluster claim from a queue"
SCHEMA = "qcore.pauses/1"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_queues(parser)
    parser.add_argument(
        "--reason", default="", metavar="TEXT", help="for people, up to 500 characters"
    )
    add_json(parser)


def add_queues(parser: ArgumentParser) -> None:
    """Add the names of queues."""
    parser.add_argument(
        "queues", nargs="+", metavar="QUEUE", help="its name, as qcore info shows it"
    )


def run(options: Namespace, out: TextIO) -> int:
    """Pause queues, and say since when each is paused."""
    from ..tasks.control import checked_queue, ledger

    names = [checked_queue(name) for name in options.queues]
    doubt(names)
    control = ledger("pause a queue")
    found = []
    for name in names:
        pause, new = control.pause(name, user(), options.reason)
        found.append((name, pause, new))
    if options.json:
        write_json(out, document("pause", found))
        return OK
    for name, pause, new in found:
        again = f"`qcore resume {name}` ends it"
        if new:
            line = f"{name}: paused; tasks that run go on, and none begins. {again}"
        else:
            line = f"{name}: was {told(pause)}, already. {again}"
        write_lines(out, [line])
    return OK


def doubt(names: list[str]) -> None:
    """Say which names of queues are probably misspelt."""
    from ..runtime import current

    for name in names:
        if told := current.doubt_of(name):
            complain(f"warning: {told}\n")


def user() -> str | None:
    """Return the name of who runs this command; None where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user is in no list
        return None


def told(pause: Pause) -> str:
    """Return who has paused a queue, when and why: ``paused by ann 5 min ago (why)``."""
    import time

    import msgspec

    from ..monitor.text import paused

    return paused(msgspec.to_builtins(pause), time.time())


def document(
    action: str, found: Sequence[tuple[str, Pause | None, bool]]
) -> dict[str, Any]:
    """Return what ``--json`` writes.

    Args:
        action: the verb.
        found: of each queue its name, its pause, and whether the verb has changed it.
    """
    import msgspec

    return {
        "schema": SCHEMA,
        "action": action,
        "queues": [
            {
                "queue": name,
                "changed": changed,
                "pause": None if pause is None else msgspec.to_builtins(pause),
            }
            for name, pause, changed in found
        ],
    }
