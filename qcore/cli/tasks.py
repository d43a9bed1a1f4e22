"""List tasks: what runs, waits, is scheduled or parked, and what has ended.

The clusters tell what runs, the ledger which tracked tasks wait and what is
sent later, and the result store what has ended, the newest first. A task that
only waits in the queue of a broker is listed where it is tracked (track=True);
`qcore info` counts the others. Arguments are not shown.

QUERY is the search of the dashboard, such as: func:shop.* state:dead since:1h
In --func, --queue, --group and --name, one * stands for anything.
"""

from __future__ import annotations

import datetime as dt
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from .exits import OK
from .numbers import whole
from .output import add_json, complain, write_json, write_lines

if TYPE_CHECKING:
    from ..listing.rows import Row
    from ..status import Snapshot

HELP = "list tasks by state, function, queue, group and time"
SCHEMA = "qcore.tasks/1"
#: Tasks that are listed unless told otherwise, and at most.
SHOWN, MOST = 50, 10_000
#: Seconds after which one call reads no further page of the list: a search that fits few of
#: a million tasks goes on from there.
_LONG = 2.0
#: Characters of an error or a progress.
_LINE = 60

_KEYS = ("state", "func", "queue", "group", "name", "since", "until")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "query", nargs="*", metavar="QUERY", help="words of a search; none: every task"
    )
    parser.add_argument(
        "--state",
        metavar="S",
        help="only tasks in this state, or in one of several with commas between:"
        " scheduled, waiting, parked, running, suspended, succeeded, failed, dead,"
        " cancelled, expired, discarded, replaced, lost",
    )
    parser.add_argument("--func", metavar="PATH", help="only tasks of this function")
    parser.add_argument("--queue", metavar="NAME", help="only tasks of this queue")
    parser.add_argument("--group", metavar="NAME", help="only tasks of this group")
    parser.add_argument("--name", metavar="NAME", help="only tasks of this name")
    for word, which in (("since", "after"), ("until", "before")):
        parser.add_argument(
            f"--{word}",
            metavar="WHEN",
            help=f"only tasks whose state began {which} that: 30min, 1h or 7d ago, a date"
            " or a moment",
        )
    parser.add_argument(
        "--limit",
        type=whole(1, MOST),
        default=SHOWN,
        metavar="N",
        help=f"tasks at most (default: {SHOWN})",
    )
    parser.add_argument(
        "--after",
        default="",
        metavar="PLACE",
        help="go on where the list before has ended: its last line, or its `next`",
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """List tasks."""
    document = look(options)
    if options.json:
        write_json(out, document)
        return OK
    lines = _table(document["tasks"])
    if not lines and not document["next"]:
        lines = ["No task is found."]
    if document["elsewhere"]:
        lines.append(f"Tasks that have ended are not listed: {document['elsewhere']}")
    if document["next"]:
        lines.append(f"There may be more: add --after {document['next']}")
    write_lines(out, lines)
    return OK


def look(options: Namespace) -> dict[str, Any]:
    """Return the tasks that are asked for, of the schema ``qcore.tasks/1``.

    Raises:
        ConfigError: what is asked for cannot be read.
        StoreError: a database cannot be asked.
    """
    from ..errors import ConfigError
    from ..listing import finished, places, query
    from ..pages import BadQuery

    try:
        asked = query.read(
            " ".join(options.query), **{key: getattr(options, key) for key in _KEYS}
        )
        clusters = _clusters()
        rows: list[Row] = []
        after = options.after
        end = time.monotonic() + _LONG
        while True:
            size = options.limit - len(rows)
            found, after = places.find(asked, after, clusters, size=size)
            rows += found
            if not after or len(rows) >= options.limit or time.monotonic() > end:
                break
    except BadQuery as error:
        raise ConfigError(str(error)) from error
    return {
        "schema": SCHEMA,
        "tasks": [_described(row) for row in rows],
        "next": after or None,
        "elsewhere": finished.elsewhere(),
    }


def _clusters() -> list[Snapshot]:
    """Return the clusters that run; none, and why, where they cannot be asked."""
    from ..errors import QcoreError
    from ..masking import mask_url
    from ..status import running

    try:
        return running()
    except QcoreError as error:
        complain(f"qcore tasks: what runs is not known: {mask_url(str(error))}\n")
        return []


def _described(row: Row) -> dict[str, Any]:
    found = row.as_dict()
    at = found["at"]
    found["at"] = None if at is None else _utc(at).isoformat()
    return found


def _utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _table(tasks: Sequence[dict[str, Any]]) -> list[str]:
    from django.utils import timezone

    from ..monitor.text import NOTHING, number, seconds, table

    if not tasks:
        return []
    rows = [
        ("ID", "STATE", "FUNCTION", "QUEUE", "GROUP", "WHEN", "RAN", "TRIES", "NOTE")
    ]
    for one in tasks:
        at = one["at"] and timezone.localtime(dt.datetime.fromisoformat(one["at"]))
        rows.append(
            (
                one["id"],
                one["state"],
                one["func"] or NOTHING,
                one["queue"] or NOTHING,
                one["group"] or NOTHING,
                f"{one['event']} {at:%Y-%m-%d %H:%M:%S}" if at else NOTHING,
                seconds(one["seconds"]),
                number(one["attempts"]),
                _cut(one["error"] or one["progress"] or ""),
            )
        )
    return table(rows, right={6, 7}, indent="")


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 4]} ..."
