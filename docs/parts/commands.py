"""The command line, from its parsers.

Not from the text of ``--help``, which differs between versions of Python.
"""

from __future__ import annotations

import argparse
import inspect
import tomllib
from collections.abc import Iterator
from importlib import import_module

from qcore.cli import GROUP, VERBS, Verb, parser
from qcore.cli.exits import EPILOG

from .docstrings import markdown
from .repository import ROOT


def verbs() -> str:
    """Return one heading per verb with its arguments, and the exit codes."""
    added = {name: (verb, plugin) for name, verb, plugin in _added()}
    top = parser({**VERBS, **{name: verb for name, (verb, _) in added.items()}})
    choices = next(a.choices for a in _actions(top) if isinstance(a.choices, dict))
    text = []
    for name, one in choices.items():
        verb, plugin = added.get(name) or (VERBS[name], "")
        text += [f"## qcore {name}", markdown(inspect.getmodule(verb.run))]
        if plugin:
            page = f"../../plugins/{plugin}/README.md"
            text.append(f"This verb comes with the plugin [{plugin}]({page}).")
        text.append(_arguments(one))
    return "\n\n".join([*text, "## Exit codes", f"```text\n{EPILOG.strip()}\n```"])


def _added() -> Iterator[tuple[str, Verb, str]]:
    """Yield the verbs of the plugins in this repository, each with its plugin."""
    for path in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        points = tomllib.loads(path.read_text())["project"].get("entry-points", {})
        for name, module in sorted(points.get(GROUP, {}).items()):
            verb: Verb = import_module(module)
            yield name, verb, path.parent.name


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
