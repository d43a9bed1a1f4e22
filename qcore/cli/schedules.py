"""List the schedules with their next runs, or sync the schedules of the code.

`list` shows every stored schedule: those of the admin, of schedule() and of
the code (@every and @cron). `sync` writes the schedules of the code to the
table, as `migrate` and the start of a cluster do: it adds, changes and removes
rows. With --dry-run it only says what it would do.
"""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import ConfigError, QcoreError
from .actions import add_action
from .exits import FAILURE, OK
from .numbers import whole
from .output import add_json, write_json, write_lines

if TYPE_CHECKING:
    from ..models import Schedule
    from ..schedules.sync import Change

HELP = "list the schedules, or write those of the code to the table"
SCHEMA = "qcore.schedules/1"
#: Next runs of each schedule that are listed unless told otherwise.
RUNS = 1


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_action(parser, ("list", "sync"), default="list")
    parser.add_argument(
        "--runs",
        type=whole(0, 1000),
        default=RUNS,
        metavar="N",
        help=f"how many next runs list shows of each (default: {RUNS})",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what sync would do, and do nothing"
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """List or sync the schedules; 1: sync has refused a schedule."""
    from ..models.tables import SCHEDULES, kept_elsewhere

    if told := kept_elsewhere(SCHEDULES):
        raise ConfigError(f"{told}: `qcore schedules` cannot show them.")
    if options.action == "sync":
        return _sync(options, out)
    if options.dry_run:
        raise ConfigError(
            "`qcore schedules list` changes nothing; --dry-run is for sync."
        )
    return _list(options, out)


def _list(options: Namespace, out: TextIO) -> int:
    from django.conf import settings
    from django.db import router

    from ..models import Schedule
    from ..monitor.text import table

    rows = Schedule.objects.using(router.db_for_write(Schedule)).order_by(
        "next_run", "pk"
    )
    found = [_described(row, options.runs) for row in rows]
    if options.json:
        write_json(out, {"schema": SCHEMA, "schedules": found})
        return OK
    if not found:
        write_lines(out, ["There is no schedule."])
        return OK
    zone = settings.TIME_ZONE or "local time"
    lines = [("NAME", "FUNCTION", "WHEN", "FROM", f"NEXT RUNS ({zone})")]
    lines += [
        (
            one["name"] or str(one["id"]),
            one["func"],
            one["when"],
            "code" if one["declared"] else "table",
            _state(one),
        )
        for one in found
    ]
    write_lines(out, table(lines, indent=""))
    return OK


def _state(one: dict[str, Any]) -> str:
    runs = ", ".join(_on_the_wall(run) for run in one["next_runs"])
    state = "paused" if one["paused"] else runs or "none"
    return f"{state} ({one['error']})" if one["error"] else state


def _on_the_wall(moment: str) -> str:
    """Return a moment for people: the time on the wall of the project."""
    from django.utils import timezone

    found = dt.datetime.fromisoformat(moment)
    wall = timezone.localtime(found) if found.tzinfo is not None else found
    return f"{wall:%Y-%m-%d %H:%M:%S}"


def _described(row: Schedule, runs: int) -> dict[str, Any]:
    from ..masking import mask_url
    from ..runtime import current
    from ..schedules import rules

    error, when, following = row.error, "", []
    try:
        when = rules.explain(row.entry.rule(current.conf))
        following = [moment.isoformat() for moment in row.next_runs(runs)]
    except QcoreError as wrong:
        error = error or str(wrong)
    return {
        "id": row.pk,
        "name": row.name,
        "func": row.func,
        "type": row.schedule_type,
        "when": when + (f" ({row.tz})" if row.tz else ""),
        "declared": row.declared,
        "cluster": row.cluster,
        "paused": row.paused,
        "next_runs": following,
        "error": mask_url(error),
    }


def _sync(options: Namespace, out: TextIO) -> int:
    from ..schedules.sync import sync

    changes = sync(dry_run=options.dry_run)
    refused = any(change.what == "refused" for change in changes)
    if options.json:
        document = {
            "schema": "qcore.sync/1",
            "dry_run": options.dry_run,
            "changes": [
                {"name": one.name, "what": one.what, "told": one.told}
                for one in changes
            ],
        }
        write_json(out, document)
    else:
        write_lines(out, _told(changes, dry_run=options.dry_run))
    return FAILURE if refused else OK


def _told(changes: Sequence[Change], *, dry_run: bool) -> list[str]:
    if not changes:
        return [
            "The code declares no schedule, and the table has none of the code.",
            "Those of the modules `tasks` of installed apps are found: INSTALLED_APPS.",
        ]
    lines = [
        f"{one.what:<8} {one.name}" + (f": {one.told}" if one.told else "")
        for one in changes
    ]
    return [*lines, "Nothing was changed: this was a dry run."] if dry_run else lines
