"""Unwrap: the function inside a task object, of ours or of Django's.

A decorated function is an object under the name of the function. Whoever gets a task
object, or finds one under a dotted path, goes on with the function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

#: Where Django's Task is: in Django from 6.0 on, and in the backport.
_FOREIGN = ("django.tasks.base", "django_tasks.base")


class Wrapper:
    """Base of the objects that ``qcore.task`` makes.

    ``func`` is the function, and ``options`` are checked options of it.
    """

    func: Callable[..., Any]
    options: Mapping[str, Any]


def is_wrapper(found: Any) -> bool:
    """Whether something is a task object of ours."""
    kind = type(found)
    # by its true type: a double of a task, as tests make them, says that it is one
    return kind is not FunctionType and issubclass(kind, Wrapper)


def options_of(found: Any) -> Mapping[str, Any]:
    """Return the options that something declares, checked; of most things, none."""
    return found.options if is_wrapper(found) else _NONE


_NONE: Mapping[str, Any] = {}


def unwrap(found: Any) -> Any:
    """Return the function inside a task object; what is none, as it is."""
    kind = type(found)
    if kind is FunctionType:
        return found  # nearly always
    if issubclass(kind, Wrapper):
        return found.func
    for name in _FOREIGN:
        task = getattr(sys.modules.get(name), "Task", None)
        if isinstance(task, type) and issubclass(kind, task):
            return found.func
    return found
