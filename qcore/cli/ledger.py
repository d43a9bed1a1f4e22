"""Show the outbox, send tasks again that a queue has lost, or sign packages anew.

status   what waits in the outbox, by queue, and under which keys
resend   send tracked tasks again that should wait in a queue, and may be in
         none: a queue that was purged or lost does not know its tasks
resign   sign the packages in the outbox with the key in use

Only tracked tasks (track=True) can be sent again; other tasks were with the
broker alone. A task is sent as it was, with its options, hook and chain, and
plugins are asked about it: a unique task is not sent where another one has its
key. Of tasks that release 2.0 has sent, the call, the queue and the priority
are known. A task that still waits in a long queue is sent a second time with
the same id, and its end is stored once. A tracked task that has not ended is
forgotten 90 days after the last that was heard of it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import BrokerError, ConfigError, QcoreError
from .actions import add_action
from .confirm import ask
from .exits import FAILURE, OK
from .numbers import whole
from .output import add_json, complain, write_json, write_lines

if TYPE_CHECKING:
    from ..envelope import Task
    from ..ledger.resign import Resigned
    from ..signing import Signer

HELP = "show the outbox, send tasks again that a queue has lost, sign packages anew"
SCHEMA = "qcore.ledger/1"
#: Seconds after which a task that nobody has may be missing, unless told otherwise.
MISSING = 3600


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_action(parser, _ACTIONS, default="status")
    parser.add_argument(
        "--queue", metavar="NAME", help="resend: only tasks of this queue"
    )
    parser.add_argument(
        "--older-than",
        type=whole(60, 10**8),
        default=MISSING,
        metavar="SECONDS",
        help=f"resend: only tasks that were due before that (default: {MISSING})",
    )
    parser.add_argument(
        "--key-file",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="resign: a file with an old SECRET_KEY that is in no setting",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show what would be done, and change nothing",
    )
    parser.add_argument(
        "--yes", action="store_true", help="resend or resign without asking"
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Do it; 1 says that the answer was no, or that something is left undone."""
    return _ACTIONS[options.action](options, out, _database())


def _database() -> str:
    """Return the alias of the database of the ledger.

    Raises:
        ConfigError: the project has none, or its tables are missing.
    """
    from ..ledger.place import is_ready
    from ..tasks.control import ledger

    database = ledger("look at the ledger").database
    if not is_ready(database):
        raise ConfigError(
            f"the database {database!r} lacks the tables of the ledger. Run: python"
            f" manage.py migrate --database={database}"
        )
    return database


# -- looking ---------------------------------------------------------------------------
def _status(options: Namespace, out: TextIO, database: str) -> int:
    from ..ledger.survey import survey, under_old_keys
    from ..monitor.text import number, plural, seconds, table
    from ..runtime import current

    states = survey(database)
    older, unknown = under_old_keys(database, current.signer)
    if options.json:
        queues = [
            {
                "queue": s.queue,
                "rows": s.rows,
                "late_seconds": s.late,
                "refused": s.refused,
            }
            for s in states
        ]
        document = _document("status", sum(state.rows for state in states))
        keys = {"older_keys": older, "unknown_keys": unknown}
        write_json(out, document | keys | {"queues": queues})
        return OK
    if not states:
        write_lines(out, ["The outbox is empty."])
        return OK
    rows = [("QUEUE", "TASKS", "LATE", "REFUSED")]
    rows += [
        (
            state.queue,
            number(state.rows),
            "-" if state.late is None or state.late <= 0 else seconds(state.late),
            number(state.refused),
        )
        for state in states
    ]
    write_lines(out, table(rows, right={1, 2, 3}, indent=""))
    if older or unknown:
        text = (
            f"{plural(older, 'task')} under older keys, {number(unknown)} under unknown"
        )
        write_lines(out, [f"{text}; `qcore ledger resign` signs them anew"])
    return OK


# -- sending again ---------------------------------------------------------------------
def _resend(options: Namespace, out: TextIO, database: str) -> int:
    from ..monitor.text import plural, seconds

    pages = list(_missing(options, database))
    count = sum(map(len, pages))
    if not count:
        return _say(out, options, "resend", 0, "No tracked task is missing.")
    long = seconds(options.older_than)
    what = f"{plural(count, 'tracked task')} that nobody has seen for {long}"
    if options.dry_run:
        return _say(out, options, "resend", count, f"{what} would be sent again")
    if ask(f"Send {what} once more, with the same ids?", options) is None:
        return FAILURE
    sent, code = 0, OK
    for tasks in pages:
        number, is_complete = _send_page(tasks)
        sent += number
        code = code if is_complete else FAILURE
    _say(out, options, "resend", sent, f"sent {plural(sent, 'task')} once more")
    return code


def _missing(options: Namespace, database: str) -> Iterator[list[Task]]:
    """Yield the missing tasks, page by page, each page of one queue."""
    from ..ledger.forgotten import missing

    for page in missing(database, options.queue, options.older_than):
        queues: dict[str, list[Task]] = {}
        for task in page:
            queues.setdefault(task.queue, []).append(task)
        yield from queues.values()


def _send_page(tasks: list[Task]) -> tuple[int, bool]:
    """Send tasks of one queue; where one is refused, it is told, and the others are sent.

    Returns:
        How many were sent, and whether none has failed.
    """
    try:
        instead = _send(tasks)
    except QcoreError as error:
        if len(tasks) > 1 and not isinstance(error, BrokerError):
            each = [_send_page([task]) for task in tasks]
            return sum(number for number, _ in each), all(done for _, done in each)
        what = (
            f"task {tasks[0].id} is" if len(tasks) == 1 else f"{len(tasks)} tasks are"
        )
        complain(f"qcore ledger: {what} not sent: {error}\n")
        return 0, False
    for id, other in instead.items():
        complain(f"qcore ledger: {id} is not sent: {other} is in its place\n")
    return len(tasks) - len(instead), True


def _send(tasks: list[Task]) -> Mapping[str, str]:
    """Send tasks of one queue, as new ones as far as plugins are concerned.

    Returns:
        The ids of those that a plugin has skipped, and of those in their places.

    Raises:
        QcoreError: they are not sent, or this project would not send one of them.
    """
    from ..errors import EnqueueError
    from ..runtime import current
    from ..tasks.allowed_tasks import refusal
    from ..tasks.sending import send

    for task in tasks:
        if (refused := refusal(task, current.conf)) is not None:
            raise EnqueueError(refused)
    return send(tasks, commit="now", noted=True)


# -- signing anew ------------------------------------------------------------------------
def _resign(options: Namespace, out: TextIO, database: str) -> int:
    from ..ledger.resign import resign
    from ..monitor.text import plural
    from ..runtime import current

    old = [_old_signer(path) for path in options.key_file]
    found = resign(database, current.signer, old, dry_run=True)
    question = f"Sign {plural(found.signed, 'task')} of the outbox with the key in use?"
    if found.signed and not options.dry_run:
        if ask(question, options) is None:
            return FAILURE
        found = resign(database, current.signer, old)
    if options.json:
        document = _document("resign", found.signed)
        more = {"current": found.current, "held": found.held, "unknown": found.unknown}
        write_json(out, document | more)
    else:
        write_lines(out, _told(found, dry_run=options.dry_run))
    return FAILURE if found.unknown else OK


def _told(found: Resigned, *, dry_run: bool) -> list[str]:
    from ..monitor.text import number, plural

    done = "would be signed" if dry_run else "signed"
    lines = [f"{done} anew: {plural(found.signed, 'task')}"]
    lines.append(f"signed with the key in use before: {number(found.current)}")
    if found.held:
        lines.append(
            f"being sent right now, and left alone: {number(found.held)}; run the"
            " command again"
        )
    if found.unknown:
        lines.append(
            f"signed with an unknown key, and left alone: {number(len(found.unknown))}"
            f" ({', '.join(found.unknown[:3])}); --key-file gives an old key"
        )
    return lines


def _old_signer(path: Path) -> Signer:
    """Return what knows the packages of an old key.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    from ..runtime import current
    from ..signing import Signer, size_limit

    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key file {str(path)!r} cannot be read: {error}"
        ) from error
    if not key:
        raise ConfigError(
            f"the key file {str(path)!r} is empty; expected a SECRET_KEY."
        )
    conf = current.conf
    return Signer([key], conf.name, max_size=size_limit(conf.max_payload))


# -- answers -----------------------------------------------------------------------------
def _say(out: TextIO, options: Namespace, action: str, count: int, text: str) -> int:
    if options.json:
        write_json(out, _document(action, count))
    else:
        write_lines(out, [text])
    return OK


def _document(action: str, count: int) -> dict[str, Any]:
    return {"schema": SCHEMA, "action": action, "tasks": count}


_ACTIONS: dict[str, Callable[[Namespace, TextIO, str], int]] = {
    "status": _status,
    "resend": _resend,
    "resign": _resign,
}
