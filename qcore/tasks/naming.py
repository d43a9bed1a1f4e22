"""Naming: the dotted path that a callable states, or the reason why it has none."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from ..conf.names import quoted
from ..errors import EnqueueError


def describe(function: Callable[..., Any]) -> str:
    """Return the path that a function states in ``__module__`` and ``__qualname__``.

    Raises:
        EnqueueError: it is a lambda, a nested function, a bound method and the like.
    """
    if not callable(function):
        raise EnqueueError(
            f"cannot send {quoted(function)}: expected a function or its dotted path, got"
            f" {type(function).__name__}."
        )
    owner: Any = getattr(function, "__self__", None)
    of_class = isinstance(owner, type)
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None) or getattr(owner, "__name__", None)
    if of_class and name is not None:
        # a method of a class belongs to the class that it is bound to: of Child.run,
        # which Base defines, the qualified name is Base.run
        module = owner.__module__
        name = f"{owner.__qualname__}.{getattr(function, '__name__', name)}"
    if not isinstance(name, str) or not isinstance(module, str):
        raise EnqueueError(_nameless(function))
    for mark, what in (("<lambda>", "a lambda"), ("<locals>", "a nested function")):
        if mark in name:
            raise EnqueueError(
                f"cannot send {what} ({module}.{name}): the worker gets only a dotted"
                f" path, and {what} has none. Move the function to the top of a module."
            )
    if owner is not None and not of_class and not inspect.ismodule(owner):
        raise EnqueueError(
            f"cannot send the bound method {module}.{name}: its"
            f" {type(owner).__name__} object cannot be sent. Pass a function and"
            " the object's key."
        )
    refuse_main(module, name)
    return f"{module}.{name}"


def refuse_main(module: str, name: str) -> None:
    """Refuse a function that is defined in the running script.

    Raises:
        EnqueueError: ``module`` is ``__main__``.
    """
    if module == "__main__":
        raise EnqueueError(
            f"cannot send {name}: it is defined in __main__, which is another module"
            " in the worker. Move it into a module and import it."
        )


def _nameless(function: Callable[..., Any]) -> str:
    if isinstance(function, (functools.partial, functools.partialmethod)):
        return (
            f"cannot send {quoted(function)}: a partial has no name that a worker could"
            " import. Pass the function, and its arguments beside it."
        )
    return (
        f"cannot send {quoted(function)}: it has no name that a worker could import."
        " Pass a function of a module."
    )


def alias_of(function: Callable[..., Any]) -> str | None:
    """Return the path of another name that the function has in its module, or None."""
    module = getattr(function, "__module__", None)
    held = vars(sys.modules[module]) if module in sys.modules else {}
    for name, value in list(held.items()):
        if value is function and name.isidentifier():
            return f"{module}.{name}"
    return None


def is_double(found: object) -> bool:
    """Whether ``unittest.mock`` has put this in the place of a function, for a test."""
    mock = sys.modules.get("unittest.mock")
    if mock is None:
        return False
    kind = mock.NonCallableMock
    return isinstance(found, kind) or isinstance(getattr(found, "mock", None), kind)
