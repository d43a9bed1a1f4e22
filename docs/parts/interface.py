"""Functions and classes that people call, from their signatures and docstrings."""

from __future__ import annotations

import inspect
from types import ModuleType

import qcore.tasks
import qcore.testing

from . import docstrings


def tasks() -> str:
    """Return everything that ``qcore.tasks`` offers."""
    return _of(qcore.tasks)


def testing() -> str:
    """Return what ``qcore.testing`` offers to users: its functions."""
    return _of(qcore.testing, classes=False)


def _of(module: ModuleType, *, classes: bool = True) -> str:
    text = []
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            if classes:
                text.append(_class(name, thing))
        elif callable(thing):
            text += [
                f"## {name}",
                docstrings.signature(thing, name),
                docstrings.markdown(thing),
            ]
    return "\n\n".join(text)


def _class(name: str, thing: type) -> str:
    text = [
        f"## {name}",
        docstrings.signature(thing, name),
        docstrings.markdown(thing),
    ]
    lines = []
    for inner, value in vars(thing).items():
        if inner.startswith("_"):
            continue
        first = (inspect.getdoc(value) or "").partition("\n")[0]
        if isinstance(value, property):
            lines.append(f"- `{inner}`: {first}")
        elif inspect.isfunction(value):
            arguments = str(inspect.signature(value)).partition(" ->")[0]
            arguments = arguments.replace("self, ", "").replace("(self)", "()")
            shown = arguments.replace("'", "")
            lines.append(f"- `{inner}{shown}`: {first}")
    return "\n\n".join([*text, "\n".join(lines)])
