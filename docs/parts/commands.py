"""The command line, from its parsers.

Not from the text of ``--help``, which differs between versions of Python.
"""

from __future__ import annotations

import argparse
import inspect

from qcore.cli import VERBS, parser
from qcore.cli.exits import EPILOG

from .docstrings import markdown


def verbs() -> str:
    """Return one heading per verb with its arguments, and the exit codes."""
    choices = next(a.choices for a in _actions(parser()) if isinstance(a.choices, dict))
    text = []
    for name, one in choices.items():
        text += [
            f"## qcore {name}",
            markdown(inspect.getmodule(VERBS[name].run)),
            _arguments(one),
        ]
    return "\n\n".join([*text, "## Exit codes", f"```text\n{EPILOG.strip()}\n```"])


def _arguments(one: argparse.ArgumentParser) -> str:
    rows = ["| argument | meaning |", "| --- | --- |"]
    # what must be there first, as people type it
    for action in sorted(_actions(one), key=lambda action: bool(action.option_strings)):
        if "--help" in action.option_strings:
            continue
        names = ", ".join(action.option_strings)
        words = " ".join(filter(None, [names, _value(action)]))
        rows.append(f"| `{words}` | {action.help} |")
    return "\n".join(rows)


def _actions(one: argparse.ArgumentParser) -> list[argparse.Action]:
    return one._actions  # noqa: SLF001 - argparse has no other way to ask


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    return str(action.metavar or action.dest.upper())
