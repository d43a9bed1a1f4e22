"""Look at the packages that no cluster would run, delete them, or sign them anew.

A package is quarantined when it is garbled, or was signed with a key that is
not in use: after a change of keys, say, or because somebody has forged it.

`resign` proves nothing about who has made a package. It believes what the
package says, signs that with the key in use, and sends it to its queue, where
it runs. It is for packages that you know to be yours. No arguments are shown.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import ConfigError, EnqueueError, QcoreError
from .actions import add_action
from .confirm import ask
from .exits import FAILURE, OK
from .numbers import whole
from .output import add_json, complain, write_json, write_lines

if TYPE_CHECKING:
    from ..envelope import Task
    from ..models import Quarantine

HELP = "list refused packages, delete them or sign them again"
SCHEMA = "qcore.quarantine/1"
#: Packages that `list` shows unless told otherwise.
SHOWN = 50


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_action(parser, _ACTIONS)
    parser.add_argument(
        "ids",
        nargs="*",
        type=int,
        metavar="ID",
        help="ids of packages, as 'qcore quarantine list' shows them",
    )
    parser.add_argument(
        "--all", action="store_true", help="take every package; then give no ID"
    )
    parser.add_argument(
        "--limit",
        type=whole(1, 1_000_000),
        default=SHOWN,
        metavar="N",
        help=f"the newest that list shows (default: {SHOWN})",
    )
    parser.add_argument(
        "--yes", action="store_true", help="delete or resign without asking"
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Do it; 1 says that the answer was no, or that a package could not be sent."""
    from ..models import Quarantine
    from ..models.tables import RESULTS, exists, kept_elsewhere

    if told := kept_elsewhere(RESULTS):
        if not exists(Quarantine):
            raise ConfigError(
                f"{told}: `qcore quarantine` cannot show them. Look with the means of that"
                " store, and at the log of the clusters."
            )
        complain(f"note: {told}; these are packages from before\n")
    return _ACTIONS[options.action](options, out)


# -- looking ---------------------------------------------------------------------------
def _list(options: Namespace, out: TextIO) -> int:
    from ..models import Quarantine
    from ..monitor.text import number, table

    if options.ids:
        raise ConfigError("`qcore quarantine list` takes no ID; did you mean show?")
    total = Quarantine.objects.count()
    newest = Quarantine.objects.defer("package")[: options.limit]
    found = list(Quarantine.objects.all() if options.all else newest)
    if options.json:
        write_json(out, _document("list", total, map(_described, found)))
        return OK
    if not total:
        write_lines(out, ["No package is in quarantine."])
        return OK
    rows = [("ID", "AT", "QUEUE", "REASON", "BYTES")]
    rows += [
        (str(one.pk), f"{one.at:%Y-%m-%d %H:%M:%S}", one.queue, one.reason, number(one.size))
        for one in found
    ]  # fmt: skip
    lines = table(rows, right={0, 4}, indent="")
    if total > len(found):
        lines.append(f"and {number(total - len(found))} more; --all shows them")
    write_lines(out, lines)
    return OK


def _show(options: Namespace, out: TextIO) -> int:
    from ..monitor.text import facts

    found = _wanted(options)
    if options.json:
        write_json(out, _document("show", len(found), map(_described, found)))
        return OK
    for one in found:
        pairs = [(name, str(value)) for name, value in _described(one).items()]
        # no more of a package of ours than its mark and its signature
        pairs.append(("first bytes", repr(bytes(one.package[:32]))[2:-1]))
        pairs += [(f"it says: {name}", value) for name, value in _claims(one)]
        write_lines(out, [*facts(pairs, indent=""), ""])
    return OK


# -- doing something about it ------------------------------------------------------------
def _delete(options: Namespace, out: TextIO) -> int:
    from ..models import Quarantine
    from ..monitor.text import plural

    found = _wanted(options)
    if not ask(f"Delete {plural(len(found), 'package')} for good?", options):
        return FAILURE
    Quarantine.objects.filter(pk__in=[one.pk for one in found]).delete()
    if options.json:
        write_json(out, _document("delete", len(found), map(_described, found)))
    else:
        write_lines(out, [f"deleted {plural(len(found), 'package')}"])
    return OK


def _resign(options: Namespace, out: TextIO) -> int:
    from ..monitor.text import plural

    # all are read before the first is sent: a mistake stops everything
    tasks = [(one, _task_of(one)) for one in _wanted(options)]
    if not options.yes:
        lines = [f"{one.pk}: {_line(task)}" for one, task in tasks]
        complain("".join(f"{line}\n" for line in lines))
    question = (
        f"It is not proved where {'they come' if len(tasks) > 1 else 'it comes'} from."
        f" Sign {plural(len(tasks), 'package')} with the key in use, and run it?"
    )
    if not ask(question, options):
        return FAILURE
    code, sent = OK, []
    for one, task in tasks:
        try:
            _send(one, task)
        except QcoreError as error:
            complain(f"qcore quarantine: {one.pk} is not sent: {error}\n")
            code = FAILURE
        else:
            sent.append(_described(one) | {"task_id": task.id})
    if options.json:
        write_json(out, _document("resign", len(sent), sent))
    else:
        write_lines(out, [f"{one['id']}: sent as {one['task_id']}" for one in sent])
    return code


def _line(task: Task) -> str:
    """Return what a package would run, in one line."""
    hook = f", with the hook {task.hook}" if task.hook else ""
    links = f", and {task.links} links after it" if task.links else ""
    return f"{task.func} on {task.queue!r}, id={task.id}{hook}{links}"


def _send(one: Quarantine, task: Task) -> None:
    from ..models import Quarantine
    from ..tasks.sending import send

    send([task], commit="now", new=False)
    # last: a crash before this line leaves a row too many, and not a task too few
    Quarantine.objects.filter(pk=one.pk).delete()


# -- packages ----------------------------------------------------------------------------
def _wanted(options: Namespace) -> list[Quarantine]:
    """Return the packages that were named, oldest first.

    Raises:
        ConfigError: none was named, or one of them is not there.
    """
    from ..models import Quarantine

    if options.all == bool(options.ids):
        raise ConfigError(
            f"`qcore quarantine {options.action}` takes IDs or --all; `qcore quarantine"
            " list` shows the IDs."
        )
    every = Quarantine.objects.order_by("pk")
    found = list(every if options.all else every.filter(pk__in=options.ids))
    missing = sorted(set(options.ids) - {one.pk for one in found})
    if missing:
        shown = ", ".join(map(str, missing))
        raise ConfigError(f"no package in quarantine has the ID {shown}.")
    return found


def _task_of(one: Quarantine) -> Task:
    """Return what a package says it is.

    Raises:
        EnqueueError: it cannot be read, or this project would not send it.
    """
    from ..errors import PackageError
    from ..runtime import current
    from ..tasks.allowed_tasks import refusal

    package = bytes(one.package)
    if len(package) < one.size:
        raise EnqueueError(
            f"{one.pk}: only the first {len(package):,} of {one.size:,} bytes are kept;"
            " it cannot be sent again."
        )
    try:
        task = current.signer.read(package)
    except PackageError as error:
        raise EnqueueError(f"{one.pk} cannot be sent again: {error}") from error
    if task.content not in current.conf.accept_content:
        raise EnqueueError(
            f"{one.pk}: its arguments are {task.content!r}, this project accepts"
            f" {', '.join(current.conf.accept_content)}."
        )
    if (refused := refusal(task, current.conf)) is not None:
        raise EnqueueError(f"{one.pk}: {refused}")
    return task


def _claims(one: Quarantine) -> list[tuple[str, str]]:
    """Return what a package says of itself, where it can be read."""
    from ..errors import PackageError
    from ..runtime import current
    from ..tasks.allowed_tasks import links_of

    try:
        task = current.signer.read(bytes(one.package))
    except PackageError as error:
        return [("nothing", str(error))]
    said = [
        ("function", task.func),
        ("hook", task.hook or "none"),
        ("links that follow", ", ".join(links_of(task)) or str(task.links)),
        ("queue", task.queue),
        ("task id", task.id),
        ("group", task.group or "none"),
    ]
    try:
        _task_of(one)
    except EnqueueError as error:
        said.append(("and cannot be signed anew", str(error)))
    return said


def _described(one: Quarantine) -> dict[str, Any]:
    return {
        "id": one.pk,
        "at": one.at.isoformat(),
        "queue": one.queue,
        "reason": one.reason,
        "detail": one.detail,
        "size": one.size,
        "task_id": None,
    }


def _document(action: str, total: int, packages: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "action": action,
        "total": total,
        "packages": list(packages),
    }


_ACTIONS: dict[str, Callable[[Namespace, TextIO], int]] = {
    "list": _list,
    "show": _show,
    "delete": _delete,
    "resign": _resign,
}
