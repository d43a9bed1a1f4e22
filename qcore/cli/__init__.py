"""The command ``qcore``; one module per verb, and this one calls the right one.

A verb is a module with ``HELP`` (one line), ``add_arguments(parser)`` and
``run(options, out) -> exit code``. Django's commands of ``management`` are made of the
same functions. Plugins add verbs by the group of entry points ``qcore.verbs``. Neither
Django nor a plugin is imported before a verb runs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from typing import NoReturn, Protocol, TextIO

from .. import __version__
from ..errors import QcoreError, did_you_mean
from .bootstrap import prepare
from .exits import EPILOG, INTERRUPTED, OK, USAGE, code_of
from .output import complain


class Verb(Protocol):
    """What the module of a verb has."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the verb."""

    def run(self, options: argparse.Namespace, out: TextIO) -> int:
        """Do it, write to ``out`` and return the exit code."""


class _Verbs(Mapping[str, Verb]):
    """The verbs of qcore by their names; each module is loaded when it is asked for.

    A cluster would keep all of them in its memory, and takes longer to start.
    """

    _NAMES = (
        "cluster", "dev", "monitor", "info", "health", "task", "tasks", "memory",
        "doctor", "cancel", "retry", "dead", "pause", "resume", "quarantine", "ledger",
        "schedules", "plugins", "plugin", "demo", "bench",
    )  # fmt: skip

    def __getitem__(self, name: str) -> Verb:
        if name not in self._NAMES:
            raise KeyError(name)
        verb: Verb = import_module(f".{name}", __name__)
        return verb

    def __contains__(self, name: object) -> bool:
        return name in self._NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(self._NAMES)

    def __len__(self) -> int:
        return len(self._NAMES)


#: In the order in which help lists them.
VERBS: Mapping[str, Verb] = _Verbs()

#: The group of entry points by which a plugin adds verbs: the name is that of the verb,
#: the value is a module such as those here.
GROUP = "qcore.verbs"

#: Verbs that do without the settings of a project, or find them by themselves.
_WITHOUT_SETTINGS = {"dev", "health", "plugins", "plugin", "demo"}


class _Help(argparse.RawDescriptionHelpFormatter):
    """Leaves room for the longest verb; argparse forgets that verbs are indented."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            self._action_max_length += self._indent_increment


#: What argparse says of a word that is none of its choices; those of Python 3.12 are not
#: in quotation marks.
_NO_CHOICE = re.compile(r"invalid choice: '(?P<word>.*)' \(choose from (?P<known>.*)\)")


class _Parser(argparse.ArgumentParser):
    """Tells which action, or other word of a few, somebody may have meant."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, with the nearest word, and end."""
        if found := _NO_CHOICE.search(message):
            known = [word.strip(" '") for word in found["known"].split(",")]
            message += did_you_mean(found["word"], known)
        super().error(message)


class _Unloaded:
    """A verb of a plugin that nobody has asked for: its module is not imported."""

    def __init__(self, owner: str) -> None:
        self.HELP = f"added by {owner}; its --help says more"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add nothing."""

    def run(self, options: argparse.Namespace, out: TextIO) -> int:
        """Never called: what is run was loaded."""
        raise NotImplementedError


def added_verbs(wanted: str = "") -> dict[str, Verb]:
    """Return the verbs that plugins add, and load the one that is wanted.

    One that cannot be loaded is told on stderr and left out.
    """
    from importlib.metadata import entry_points

    found: dict[str, Verb] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in VERBS or point.name in found:
            continue
        if point.name != wanted:
            found[point.name] = _Unloaded(point.dist.name if point.dist else "?")
            continue
        try:
            verb: Verb = point.load()
            _ = verb.HELP, verb.add_arguments, verb.run
        except Exception as error:  # noqa: BLE001 - it is a stranger's code
            told = f"{type(error).__name__}: {error}"
            complain(f"qcore: the verb {point.name!r} cannot be loaded: {told}\n")
        else:
            found[point.name] = verb
    return found


def parser(known: Mapping[str, Verb] = VERBS) -> argparse.ArgumentParser:
    """Return the parser of a command line.

    Args:
        known: its verbs.
    """
    plain = argparse.RawDescriptionHelpFormatter
    top = _Parser(
        prog="qcore",
        description="A distributed task queue for Django.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    top.add_argument("--version", action="version", version=f"qcore {__version__}")
    verbs = top.add_subparsers(title="verbs", dest="verb", metavar="VERB")
    for name, module in known.items():
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


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Mapping[str, Verb]]:
    """Read a command line; what is wrong is told with the usage of the verb in question.

    Raises:
        SystemExit: it is wrong, or help was asked for.
    """
    # plugins are asked, and the other verbs loaded, only where the verb is none of ours
    wanted = argv[0] if argv else ""
    known: Mapping[str, Verb]
    if wanted in VERBS:
        known = {wanted: VERBS[wanted]}
    else:
        known = {**VERBS, **added_verbs(wanted)}
    top = parser(known)
    if argv and not argv[0].startswith("-") and argv[0] not in known:
        near = _instead_of(argv[0], known) or f". Verbs: {', '.join(known)}."
        top.error(f"there is no verb {argv[0]!r}{near}")
    options, rest = top.parse_known_args(argv)
    if rest:
        verb = _parser_of(top, options.verb)
        words = verb._option_string_actions  # noqa: SLF001 - argparse tells it nowhere else
        near = did_you_mean(rest[0].partition("=")[0], words)
        verb.error(f"unrecognized arguments: {' '.join(rest)}{near}")
    return options, known


#: Words of other queues for what a verb does. The names of verbs that exist go before.
_ELSEWHERE = {
    "worker": "cluster", "run": "cluster", "start": "cluster", "consumer": "cluster",
    "beat": "cluster", "scheduler": "cluster", "status": "info", "inspect": "info",
    "stats": "info", "config": "info --config", "check": "doctor", "list": "plugins",
    "show": "task", "tasks": "task", "result": "task", "revoke": "cancel",
    "requeue": "retry", "failed": "dead", "failures": "dead", "dlq": "dead",
    "top": "monitor", "events": "monitor", "flower": "monitor",
}  # fmt: skip


def _instead_of(word: str, known: Collection[str]) -> str:
    if meant := _ELSEWHERE.get(word):
        return f" - did you mean {meant!r}?"
    return did_you_mean(word, known)


def _parser_of(
    top: argparse.ArgumentParser, verb: str | None
) -> argparse.ArgumentParser:
    for action in top._actions:  # noqa: SLF001 - as above
        if verb and isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found: argparse.ArgumentParser = action.choices[verb]
            return found
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; see ``exits``."""
    prepare()
    try:
        options, verbs = _parse(sys.argv[1:] if argv is None else argv)
    except SystemExit as end:  # argparse has printed help, or what is wrong
        return end.code if isinstance(end.code, int) else USAGE
    if options.verb is None:
        parser({**VERBS, **added_verbs()}).print_help(sys.stderr)
        return USAGE
    try:
        return _run(options, verbs)
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
        complain(f"qcore {options.verb}: {error}\n")
        return code_of(error)


def _run(options: argparse.Namespace, verbs: Mapping[str, Verb]) -> int:
    verb = verbs[options.verb]
    if options.verb in _WITHOUT_SETTINGS:
        return verb.run(options, sys.stdout)
    from .project import set_up, told

    set_up(options.verb, options.settings)
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error

    try:
        return verb.run(options, sys.stdout)
    except (Error, ImproperlyConfigured, QcoreError) as error:
        if options.traceback:
            raise
        text, code = told(error)
        complain(f"qcore {options.verb}: {text}\n")
        return code
