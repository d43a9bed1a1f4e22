"""Run a cluster in the foreground until SIGTERM or Ctrl-C; again means at once."""

from __future__ import annotations

import contextlib
import logging
import os
from argparse import ArgumentParser, Namespace
from typing import TextIO

from .exits import REFUSED, USAGE
from .output import complain, write_lines

HELP = "run a cluster"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "-n",
        "--name",
        metavar="CLUSTER",
        help="the queue to work on, with its settings of ALT_CLUSTERS if there are any;"
        " wins over Q_CLUSTER_NAME",
    )
    parser.add_argument(
        "--run-once", action="store_true", help="end when the queue is empty"
    )


def run(options: Namespace, out: TextIO) -> int:
    """Check the settings, say what will run, and run it."""
    if not hasattr(os, "fork"):
        complain(
            "qcore cluster needs Linux or macOS: its processes are forks of one"
            " another. Here, Q_CLUSTER['sync'] = True runs tasks in the caller.\n"
        )
        return REFUSED
    from ..runtime import current
    from .bootstrap import handle_signals, open_streams

    open_streams()
    if os.getpid() == 1:  # also for manage.py, which has loaded the project already
        handle_signals()
    if options.name:
        os.environ["Q_CLUSTER_NAME"] = options.name
        current.reset()
    if not _passes_checks() or not _finds_tables():
        return USAGE
    from ..cluster import run as cluster
    from . import banner

    _log_to_terminal(current.conf.log_level)
    lines = banner.lines()
    # standard output may be closed; the cluster works all the same
    with contextlib.suppress(AttributeError, OSError, ValueError):
        write_lines(out, lines)
        out.flush()
    # the banner has connected; forks must not inherit what is open
    current.close()
    return cluster.run(run_once=options.run_once)


def _passes_checks() -> bool:
    """Print what Django's checks with the tag qcore say; return whether none is an error."""
    from django.core import checks

    from ..runtime import current

    messages = [m for m in checks.run_checks(tags=["qcore"]) if not m.is_silenced()]
    if not any(message.is_serious() for message in messages):
        # what a check has said need not stand in the log as well
        current.told |= {current.choice("broker").doubt}
        current.told |= {current.doubt_of(current.conf.queue)}
    for message in sorted(messages, key=lambda message: -message.level):
        level = "error" if message.is_serious() else "warning"
        hint = f"\n  {message.hint}" if message.hint else ""
        complain(f"{level} ({message.id}): {message.msg}{hint}\n")
    return not any(message.is_serious() for message in messages)


def _finds_tables() -> bool:
    """Print which tables are missing or old; return whether a cluster could use them.

    A database that cannot be reached is not asked: the cluster waits for it.
    """
    from django.db import Error

    from ..doctor.tables import doubts, faults

    try:
        found, doubted = list(faults()), list(doubts())
    except Error as error:
        complain(f"warning: the tables are not checked: {_first_line(error)}\n")
        return True
    for fault in found:
        complain(f"error: {fault}\n")
    for doubt in doubted:
        complain(f"warning: {doubt}\n")
    return not found


def _first_line(error: Exception) -> str:
    from ..masking import mask_url

    return mask_url(str(error).strip().partition("\n")[0])


def _log_to_terminal(level: str) -> None:
    """Write the log of qcore to stderr, where the project has configured none."""
    from ..logs import keep_printable

    logger = logging.getLogger("qcore")
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    keep_printable(handler)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logger.addHandler(handler)
    logger.setLevel(level)
