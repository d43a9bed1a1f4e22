"""One task as an object."""

from __future__ import annotations

from typing import Any

from qcore.tasks.waiting import Wait

from ..conf import Conf
from ..models import Task
from .lookup import fetch, fetch_group, result, result_group
from .sending import Function, async_task


class AsyncTask:
    """An ``async_task`` whose options are attributes."""

    def __init__(self, func: Function, *args: Any, **kwargs: Any) -> None:
        self.id = ""
        self.started = False
        self.func = func
        self.args = args
        self.kwargs = kwargs

    def _get(self, name: str, default: Any = None) -> Any:
        options = self.kwargs.get("q_options") or {}
        return options.get(name, self.kwargs.get(name, default))

    def _set(self, name: str, value: Any) -> None:
        options = self.kwargs.get("q_options")
        (self.kwargs if options is None else options)[name] = value
        self.started = False

    broker = property(
        lambda self: self._get("broker"),
        lambda self, value: self._set("broker", value),
        doc="The broker that it is sent through.",
    )
    sync = property(
        lambda self: self._get("sync"),
        lambda self, value: self._set("sync", value),
        doc="Whether it runs here.",
    )
    save = property(
        lambda self: self._get("save"),
        lambda self, value: self._set("save", value),
        doc="Whether its success is stored.",
    )
    hook = property(
        lambda self: self._get("hook"),
        lambda self, value: self._set("hook", value),
        doc="What is called with the finished task.",
    )
    group = property(
        lambda self: self._get("group"),
        lambda self, value: self._set("group", value),
        doc="Its label.",
    )
    cached = property(
        lambda self: self._get("cached", Conf.CACHED),
        lambda self, value: self._set("cached", value),
        doc="Whether the cache keeps its result.",
    )

    def run(self) -> str:
        """Send it and return its id."""
        self.id = async_task(self.func, *self.args, **self.kwargs)
        self.started = True
        return self.id

    def result(self, wait: Wait = 0) -> Any:
        """Return its result, or None."""
        return result(self.id, wait=wait, cached=self.cached) if self.started else None

    def fetch(self, wait: Wait = 0) -> Task | None:
        """Return the finished task, or None."""
        return fetch(self.id, wait=wait, cached=self.cached) if self.started else None

    def result_group(
        self, failures: bool = False, wait: Wait = 0, count: int | None = None
    ) -> Any:
        """Return the results of its group, or None."""
        if not self.started or not self.group:
            return None
        return result_group(self.group, failures, wait, count, self.cached)

    def fetch_group(
        self, failures: bool = True, wait: Wait = 0, count: int | None = None
    ) -> Any:
        """Return the finished tasks of its group, or None."""
        if not self.started or not self.group:
            return None
        return fetch_group(self.group, failures, wait, count, self.cached)
