"""The hooks, from the file that specifies them."""

from __future__ import annotations

import inspect

from qcore import hookspecs
from qcore.plugins import KINDS

from . import docstrings


def names() -> list[str]:
    """Return the names of all hooks, in the order of the file."""
    return [
        name
        for name, thing in vars(hookspecs).items()
        if name.startswith("qcore_") and inspect.isfunction(thing)
    ]


def reference() -> str:
    """Return one heading per hook with its signature and what it is for."""
    text = []
    for name in names():
        function = getattr(hookspecs, name)
        text += [
            f"### {name}",
            docstrings.signature(function, name),
            docstrings.markdown(function),
        ]
    return "\n\n".join(text)


def kinds() -> str:
    """Return the table of what a plugin can make."""
    rows = ["| kind | hook | base class |", "| --- | --- | --- |"]
    for kind in KINDS.values():
        base = kind.base.replace(":", ".")
        rows.append(f"| {kind.name} | [{kind.hook}](#{kind.hook}) | `{base}` |")
    return "\n".join(rows)
