"""Show where a task is: its state, how far it is, and how it has ended.

The result store, the outbox and the clusters are asked. A task that only waits
in the queue of a broker is known where it is tracked; else nothing can be said.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, TextIO

from .exits import OK, UNHEALTHY
from .ids import check_ids
from .monitor import add_interval
from .output import add_json, iso, write_json, write_lines

if TYPE_CHECKING:
    from ..results.base import Record
    from ..status import Progress
    from ..tasks.state import State

HELP = "show where a task is, and how far"
SCHEMA = "qcore.task/1"

#: States after which nothing changes any more.
_ENDS = frozenset(
    ("succeeded", "dead", "cancelled", "expired", "discarded", "replaced", "lost")
)
#: Characters of the bar of a progress.
_BAR = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("id", metavar="ID", help="the id of the task: 32 digits")
    parser.add_argument(
        "--watch", action="store_true", help="go on until the task has ended"
    )
    add_interval(parser)
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Show a task; 3 says that nothing is known of it."""
    from ..monitor.text import Paint

    check_ids([options.id])
    paint = Paint(out)
    shown: list[str] = []
    while True:
        document = look(options.id)
        ended = document["state"] in _ENDS
        if options.json and (ended or not options.watch):
            write_json(out, document)
        elif not options.json:
            lines = render(document, paint)
            if lines != shown:  # a pipe gets each change once
                write_lines(out, lines)
                out.flush()
            shown = lines
        if ended or not options.watch:
            return UNHEALTHY if document["state"] is None else OK
        time.sleep(options.interval)


def look(task_id: str) -> dict[str, Any]:
    """Return what is known of a task, of the schema ``qcore.task/1``.

    What is not known is None, and never 0.

    Raises:
        StoreError, BrokerError: the result store or the status cannot be read.
    """
    from ..runtime import current
    from ..tasks import fetch, progress, status

    state: State | None = status(task_id)
    record: Record | None = fetch(task_id)
    if record is not None and record.id != task_id:
        record = None  # found by a name
    told = progress(task_id)
    found = _of_record(record)
    tracker = current.tracker if record is None and state is not None else None
    if tracker is not None and (row := tracker.find(task_id)) is not None:
        found |= {"func": row.func, "queue": row.queue}  # it waits, or runs
    return {
        "schema": SCHEMA,
        "id": task_id,
        "state": None if state is None else str(state),
        **found,
        "progress": None if told is None else _of_progress(told),
    }


def _of_record(record: Record | None) -> dict[str, Any]:
    names = ("name", "func", "group", "cluster", "outcome")
    found: dict[str, Any] = {name: getattr(record, name, None) for name in names}
    found["queue"] = found.pop("cluster")
    found["attempts"] = None if record is None else record.attempt_count
    for name in ("started", "stopped"):
        moment = getattr(record, name, None)
        found[name] = None if moment is None else moment.isoformat()
    failed = record is not None and not record.success
    text = str(record.result) if record is not None and failed else ""
    found["error"] = text.partition("\n")[0] or None
    return found


def _of_progress(told: Progress) -> dict[str, Any]:
    return {
        "done": told.done, "total": told.total, "share": told.share,
        "note": told.note, "at": iso(told.at),
    }  # fmt: skip


def render(document: dict[str, Any], paint: Any) -> list[str]:
    """Return what people see of a document of ``look``."""
    if document["state"] is None:
        return [
            (
                f"{document['id']}: nothing is known. It may wait in the queue, its"
                " result may not be kept any more, or no task has this id."
            )
        ]
    lines = [f"{document['id']}  {paint(document['state'], 'bold')}"]
    words = (
        ("name", "name"), ("function", "func"), ("queue", "queue"), ("group", "group"),
        ("attempts", "attempts"), ("started", "started"), ("ended", "stopped"),
        ("error", "error"),
    )  # fmt: skip
    lines += [
        f"  {word:<9} {document[key]}"
        for word, key in words
        if document[key] is not None
    ]
    if (told := document["progress"]) is not None:
        lines.append(f"  {'progress':<9} {_bar(told)}")
    return lines


def _bar(told: dict[str, Any]) -> str:
    from ..status import Progress

    text = Progress(**{key: told[key] for key in ("done", "total", "note")}).text
    if (share := told["share"]) is None:
        return text
    full = int(share * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {text}"
