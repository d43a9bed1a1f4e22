"""Examine this project: settings, plugins, broker, databases, cache and clusters.

Connects to everything that tasks need, measures how fast it answers, compares
clocks and signing keys, and says of each fault what to type. Shows no secrets.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TextIO

from .exits import OK, UNHEALTHY
from .output import add_json, write_json, write_lines

HELP = "find problems of this project, and say how to solve them"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Show what was found; 3 says that tasks do not run, or are lost."""
    from ..doctor.examination import examine
    from ..monitor.screen import width
    from ..monitor.text import Paint

    report = examine()
    if options.json:
        write_json(out, report.as_dict())
    else:
        write_lines(out, report.lines(width(), Paint(out)))
    return OK if report.healthy else UNHEALTHY
