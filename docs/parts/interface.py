"""Functions and classes that people call, from their signatures and docstrings."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import qcore.tasks

from . import docstrings

#: What declares tasks and how they are tried again, with the module of each.
DECLARING = {
    "task": "qcore.tasks.decorator",
    "TaskFunction": "qcore.tasks.task_function",
    "TaskId": "qcore.tasks.task_function",
    "Backoff": "qcore.backoff",
}

#: Where the functions for the tests of a project are.
TESTING = {
    "qcore.testing.drain": ("drain", "perform", "enqueued", "assert_enqueued"),
    "qcore.testing": ("LiveCluster",),
}


def tasks() -> str:
    """Return everything that ``qcore.tasks`` offers, with the async variants apart."""
    offered = {name: getattr(qcore.tasks, name) for name in qcore.tasks.__all__}
    own = [
        name
        for name, thing in offered.items()
        if thing.__name__ == name and not inspect.iscoroutinefunction(thing)
    ]
    variants = [name for name, it in offered.items() if inspect.iscoroutinefunction(it)]
    listed = ", ".join(f"`{name}`" for name in variants)
    others = [
        f"`{name}` is `{thing.__name__}`."
        for name, thing in offered.items()
        if name not in own and name not in variants
    ]
    return (
        f"{_of(qcore.tasks, own, '##')}\n\n## Modern names\n\n{' '.join(others)}"
        f"\n\n## For await\n\n{listed} take the arguments of"
        " the calls without the `a`; see [From async code](../how-to/tasks.md#from-async-code)."
    )


def declaring() -> str:
    """Return the decorator, what it makes, and the policy of retries."""
    return "\n\n".join(
        _of(import_module(path), [name], "###") for name, path in DECLARING.items()
    )


def in_code() -> str:
    """Return the decorators that declare schedules."""
    return _of(import_module("qcore.schedules.declared"), ["cron", "every"], "###")


def testing() -> str:
    """Return what the tests of a project use, each with its import."""
    return "\n\n".join(
        f"`from {path} import {', '.join(names)}`\n\n"
        f"{_of(import_module(path), names, '##')}"
        for path, names in TESTING.items()
    )


def _of(module: ModuleType, names: Sequence[str], level: str) -> str:
    text = []
    for name in names:
        thing = getattr(module, name)
        text.append(f"{level} {name}")
        if not _is_never_made(thing):
            text.append(docstrings.signature(thing, name))
        text.append(docstrings.markdown(thing))
        if isinstance(thing, enum.EnumMeta):
            text.append(", ".join(f"`{one.value}`" for one in thing) + ".")
        elif inspect.isclass(thing):
            text.append(_members(thing))
    return "\n\n".join(part for part in text if part)


def _is_never_made(thing: object) -> bool:
    """Whether a project only gets values of a class, and makes none."""
    return isinstance(thing, type) and issubclass(thing, (str, enum.Enum))


def _members(thing: type) -> str:
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
    return "\n".join(lines)
