"""Twins for the tests of a project: run at once, or only remember; no broker, no table.

::

    TASKS = {"default": {"BACKEND": "qcore.backend.ImmediateBackend", "QUEUES": []}}

They take what ``QcoreBackend`` takes (``run_after``, any priority, its OPTIONS), so that
only the name of the backend differs between production and tests.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from .api import Dummy, Immediate
from .backend import checked_options, with_moment
from .task_result import TwinResult


class _Twin:
    """What both twins have of the backend: they refuse the same tasks and settings."""

    supports_priority = True
    supports_defer = True
    supports_async_task = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        checked_options(alias, params)
        super().__init__(alias, params)  # type: ignore[call-arg]

    def validate_task(self, task: Any) -> None:
        super().validate_task(with_moment(task))  # type: ignore[misc]


class ImmediateBackend(_Twin, Immediate):  # type: ignore[misc]
    """Runs each task at once in the caller, also a task with ``run_after``."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Run a task, and return how it went."""
        return TwinResult.of(super().enqueue(task, args, kwargs))


class DummyBackend(_Twin, Dummy):  # type: ignore[misc]
    """Remembers each task in ``results`` and runs none."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Remember a task; it is another object that ``results`` has."""
        id = super().enqueue(task, args, kwargs).id
        place = [one.id for one in self.results].index(id)
        self.results[place] = kept = TwinResult.of(self.results[place])
        return deepcopy(kept)
