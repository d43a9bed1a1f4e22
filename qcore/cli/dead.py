"""List the tasks that have failed for good, send them again, or discard them.

They are listed in groups: one function, one error. `resend` and `discard` take
the IDs of tasks, a group (--fingerprint, --func), or --all. Both ask first.
Answer "one" to take the newest task alone, and see how that goes.
"""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import ConfigError
from .actions import add_action
from .confirm import ask
from .exits import FAILURE, OK
from .ids import check_ids
from .numbers import whole
from .output import add_json, write_json, write_lines

if TYPE_CHECKING:
    from ..results.base import Record
    from ..results.dead import DeadGroup

HELP = "list dead tasks, send them again or discard them"
SCHEMA = "qcore.dead/1"
#: Groups or tasks that `list` shows unless told otherwise.
SHOWN = 50
#: Tasks that are taken together.
_PAGE = 500
#: Characters of a line of an error.
_LINE = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_action(parser, _ACTIONS, default="list")
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids of dead tasks")
    parser.add_argument(
        "--fingerprint",
        metavar="F",
        help="only tasks that failed with this error; list shows each of them then",
    )
    parser.add_argument("--func", metavar="PATH", help="only tasks of this function")
    parser.add_argument(
        "--all", action="store_true", help="resend or discard every dead task"
    )
    parser.add_argument(
        "--limit",
        type=whole(1, 1_000_000),
        default=SHOWN,
        metavar="N",
        help=f"groups or tasks that list shows (default: {SHOWN})",
    )
    parser.add_argument(
        "--yes", action="store_true", help="resend or discard without asking"
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Do it; 1 says that the answer was no, or that a task could not be sent."""
    return _ACTIONS[options.action](options, out)


# -- looking ---------------------------------------------------------------------------
def _list(options: Namespace, out: TextIO) -> int:
    from ..results.dead import describe_group
    from ..tasks import dead_groups

    if options.ids or options.all:
        raise ConfigError(
            "`qcore dead list` takes no ID and no --all; `qcore task ID` shows one task."
        )
    groups = _matching(dead_groups(), options)
    if options.json:
        shown = groups[: options.limit]
        tasks = _tasks(options) if options.fingerprint else []
        write_json(
            out,
            _document("list", sum(group.count for group in groups))
            | {
                "groups": [
                    describe_group(group, dt.datetime.isoformat) for group in shown
                ]
            }
            | {"tasks": [_described_task(record) for record in tasks]},
        )
        return OK
    if not groups:
        write_lines(out, [_empty(options)])
        return OK
    write_lines(out, table_of(groups, options.limit))
    if options.fingerprint:
        write_lines(out, ["", *_table_of_tasks(_tasks(options))])
    return OK


def _empty(options: Namespace) -> str:
    if options.fingerprint or options.func:
        asked = [("function", options.func), ("error", options.fingerprint)]
        words = " and ".join(f"this {word}" for word, given in asked if given)
        return f"There is no dead task of {words}."
    return "No task is dead: none has failed for good."


def _matching(groups: list[DeadGroup], options: Namespace) -> list[DeadGroup]:
    return [
        group
        for group in groups
        if options.func in (None, group.func)
        and options.fingerprint in (None, group.fingerprint)
    ]


def _tasks(options: Namespace) -> list[Record]:
    from ..tasks import dead_tasks

    return dead_tasks(options.func, options.fingerprint, limit=options.limit)


def table_of(groups: list[DeadGroup], limit: int) -> list[str]:
    """Return what people see of groups of dead tasks, of the first ``limit`` of them."""
    from ..masking import mask_url
    from ..monitor.text import number, plural, table
    from ..printable import printable

    rows = [("COUNT", "FUNCTION", "ERROR", "FIRST", "LAST", "FINGERPRINT", "EXAMPLE")]
    rows += [
        (
            number(group.count), printable(group.func),
            _cut(printable(mask_url(group.error))),
            _moment(group.first), _moment(group.last), group.fingerprint, group.example,
        )
        for group in groups[:limit]
    ]  # fmt: skip
    lines = table(rows, right={0}, indent="")
    if len(groups) > limit:
        lines.append(f"and {plural(len(groups) - limit, 'group')} more; see --limit")
    total = sum(group.count for group in groups)
    lines.append(f"{plural(total, 'dead task')} in {plural(len(groups), 'group')}")
    return lines


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 4]} ..."


def _table_of_tasks(records: list[Record]) -> list[str]:
    from ..monitor.text import number, table
    from ..printable import printable

    rows = [("ID", "NAME", "ATTEMPTS", "STOPPED")]
    rows += [
        (one.id, printable(one.name), number(one.attempt_count), _moment(one.stopped))
        for one in records
    ]
    return table(rows, right={2}, indent="")


def _moment(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"


# -- doing something about it ------------------------------------------------------------
def _resend(options: Namespace, out: TextIO) -> int:
    from ..monitor.text import plural
    from ..tasks import resend_many
    from .retry import described, lines_of

    count = _count(options)
    if not count:
        return _nothing(options, out, "resend")
    answer = ask(f"Send {plural(count, 'dead task')} again?", options, _one(count))
    if answer is None:
        return FAILURE
    found = []
    for ids in _pages(options, one=answer == "one"):
        part = resend_many(ids)
        found += part
        if not options.json:
            write_lines(out, lines_of(part))
    if options.json:
        document = _document("resend", len(found))
        write_json(out, document | {"tasks": [described(one) for one in found]})
    return FAILURE if any(one.error is not None for one in found) else OK


def _discard(options: Namespace, out: TextIO) -> int:
    from ..monitor.text import plural
    from ..tasks import discard_dead

    count = _count(options)
    if not count:
        return _nothing(options, out, "discard")
    question = f"Discard {plural(count, 'dead task')} for good?"
    answer = ask(question, options, _one(count))
    if answer is None:
        return FAILURE
    gone = []
    for ids in _pages(options, one=answer == "one"):
        gone += discard_dead(ids)
    if options.json:
        tasks = [{"id": id, "new_id": None, "error": None} for id in gone]
        write_json(out, _document("discard", len(gone)) | {"tasks": tasks})
    else:
        write_lines(out, [f"discarded {plural(len(gone), 'dead task')}"])
    return OK


def _one(count: int) -> list[str]:
    return ["one"] if count > 1 else []


def _nothing(options: Namespace, out: TextIO, action: str) -> int:
    if options.json:
        write_json(out, _document(action, 0) | {"tasks": []})
    else:
        write_lines(out, [_empty(options)])
    return OK


def _count(options: Namespace) -> int:
    """Return how many dead tasks are meant.

    Raises:
        ConfigError: it is not said which, or one of them is not dead.
    """
    from ..tasks import dead_groups, fetch
    from ..tasks.ended import is_dead

    given = [bool(options.ids), options.all, bool(options.fingerprint or options.func)]
    if sum(given) != 1:
        raise ConfigError(
            f"`qcore dead {options.action}` takes IDs, or --fingerprint or --func or"
            " both, or --all; `qcore dead` shows the groups."
        )
    if not options.ids:
        return sum(group.count for group in _matching(dead_groups(), options))
    check_ids(options.ids)
    for id in options.ids:
        record = fetch(id)
        if record is None or record.id != id or not is_dead(record):
            raise ConfigError(
                f"the task {id} is not dead, or nothing is known of it; `qcore task {id}`"
                " says more, and `qcore retry` sends any finished task again."
            )
    return len(set(options.ids))


def _pages(options: Namespace, *, one: bool) -> Iterator[list[str]]:
    """Yield the ids of the tasks that are meant, the newest first, page by page."""
    from ..tasks import dead_tasks

    if options.ids:
        ids = sorted(set(options.ids), reverse=True)
        yield ids[:1] if one else ids
        return
    before = None
    while page := dead_tasks(
        options.func, options.fingerprint, before=before, limit=1 if one else _PAGE
    ):
        yield [record.id for record in page]
        if one:
            return
        before = page[-1].id


# -- documents ---------------------------------------------------------------------------
def _document(action: str, total: int) -> dict[str, Any]:
    return {"schema": SCHEMA, "action": action, "total": total, "groups": []}


def _described_task(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "attempts": record.attempt_count,
        "stopped": record.stopped.isoformat(),
    }


_ACTIONS: dict[str, Callable[[Namespace, TextIO], int]] = {
    "list": _list,
    "resend": _resend,
    "discard": _discard,
}
