"""The command ``qcore``; one module per verb, and this one calls the right one.

A verb is a module with ``HELP`` (one line), ``add_arguments(parser)`` and
``run(options, out) -> exit code``. Django's commands of ``management`` are made of the
same functions. Nothing of Django, and no plugin, is imported before a verb runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from .. import __version__
from ..errors import QcoreError
from . import (
    cluster,
    demo,
    doctor,
    info,
    memory,
    monitor,
    plugin,
    plugins,
    quarantine,
)
from .exits import EPILOG, FAILURE, INTERRUPTED, OK, USAGE, code_of


class Verb(Protocol):
    """What the module of a verb has."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the verb."""

    def run(self, options: argparse.Namespace, out: TextIO) -> int:
        """Do it, write to ``out`` and return the exit code."""


VERBS: dict[str, Verb] = {
    "cluster": cluster,
    "monitor": monitor,
    "info": info,
    "memory": memory,
    "doctor": doctor,
    "quarantine": quarantine,
    "plugins": plugins,
    "plugin": plugin,
    "demo": demo,
}

#: Verbs that do without the settings of a project.
_WITHOUT_SETTINGS = {"plugins", "plugin", "demo"}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    plain = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="qcore",
        description="A distributed task queue for Django.",
        epilog=EPILOG,
        formatter_class=plain,
    )
    top.add_argument("--version", action="version", version=f"qcore {__version__}")
    verbs = top.add_subparsers(title="verbs", dest="verb", metavar="VERB")
    for name, module in VERBS.items():
        verb = verbs.add_parser(
            name, help=module.HELP, description=module.__doc__, formatter_class=plain
        )
        if name not in _WITHOUT_SETTINGS:
            verb.add_argument(
                "--settings",
                metavar="MODULE",
                help="Django's settings; default: DJANGO_SETTINGS_MODULE, or what a"
                " manage.py in this folder or above it names",
            )
        verb.add_argument(
            "--traceback", action="store_true", help="show where an error comes from"
        )
        module.add_arguments(verb)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; see ``exits``."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as end:  # argparse has printed help, or what is wrong
        return end.code if isinstance(end.code, int) else USAGE
    if options.verb is None:
        parser().print_help(sys.stderr)
        return USAGE
    try:
        return _run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # the reader, such as `head`, has seen enough; the interpreter must not
        # try to flush what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except QcoreError as error:
        if options.traceback:
            raise
        sys.stderr.write(f"qcore {options.verb}: {error}\n")
        return code_of(error)


def _run(options: argparse.Namespace) -> int:
    verb = VERBS[options.verb]
    if options.verb in _WITHOUT_SETTINGS:
        return verb.run(options, sys.stdout)
    from .project import set_up

    set_up(options.verb, options.settings)
    from django.db import Error

    try:
        return verb.run(options, sys.stdout)
    except Error as error:
        if options.traceback:
            raise
        from .project import explain

        sys.stderr.write(f"qcore {options.verb}: {explain(error)}\n")
        return FAILURE
