"""Tasks for peers that look one up by the module and the name of its function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import work


def declare(module: str, decorate: Callable[[Any], Any]) -> dict[str, Any]:
    """Put a decorated copy of each task into a module, and return them by kind."""
    made = {}
    for kind, function in work.KINDS.items():
        made[kind] = decorate(_named(function, module, kind))
    vars(sys.modules[module]).update(made)
    return made


def _named(function: Callable[[int], int], module: str, name: str) -> Any:
    def run(task: int) -> int:
        return function(task)

    run.__module__, run.__name__, run.__qualname__ = module, name, name
    return run
