"""Move schedules, results and queued tasks of another queue to qcore.

The tables of django-q and django-q2 are read; the package itself is not needed,
and must not be installed. What was moved is remembered: a second run moves what
is new, and nothing twice. What cannot be moved is listed with the reason, and
the rest goes on. Stop the old clusters first.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TextIO

from qcore.cli.exits import FAILURE, OK
from qcore.cli.output import add_json, write_json, write_lines
from qcore.errors import ConfigError

HELP = "move schedules, results and queued tasks of another queue"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "source", choices=["django_q"], metavar="SOURCE", help="django_q"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be moved, and move nothing",
    )
    parser.add_argument(
        "--unpickle",
        action="store_true",
        help="open the pickles of arguments and results, which runs what is in them",
    )
    parser.add_argument(
        "--catch-up",
        action="store_true",
        help="let overdue schedules run the slots that they have missed",
    )
    parser.add_argument(
        "--claimed",
        action="store_true",
        help="move queued tasks that an old cluster has claimed, too",
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Move, and write the report; 1 says that something was left."""
    from django.apps import apps

    if not apps.is_installed("django_q"):
        raise ConfigError(
            "`qcore migrate-from django_q` needs the app of qcore-django-q. Add 'django_q'"
            " to INSTALLED_APPS, and run: python manage.py migrate"
        )
    from .move import move

    report = move(
        dry_run=options.dry_run,
        unpickle=options.unpickle,
        catch_up=options.catch_up,
        claimed=options.claimed,
    )
    if options.json:
        write_json(out, report.as_dict())
    else:
        write_lines(out, list(report.lines()))
    return OK if report.is_complete else FAILURE
