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
    top = parser()
    (sub,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    text = []
    for name, one in sub.choices.items():
        text += [
            f"## qcore {name}",
            markdown(inspect.getmodule(VERBS[name].run)),
            _arguments(one),
        ]
    return "\n\n".join([*text, "## Exit codes", f"```text\n{EPILOG.strip()}\n```"])


def _arguments(one: argparse.ArgumentParser) -> str:
    rows = ["| argument | meaning |", "| --- | --- |"]
    for action in one._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        words = " ".join(filter(None, [", ".join(action.option_strings), _value(action)]))
        rows.append(f"| `{words}` | {action.help} |")
    return "\n".join(rows)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    return str(action.metavar or action.dest.upper())
