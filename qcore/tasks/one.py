"""One task as an object, whose options are attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..runtime import current
from . import alookup, lookup
from .calls import split_options
from .enqueueing import Function, async_task
from .loops import in_thread
from .waiting import Wait

if TYPE_CHECKING:
    from ..results.base import Record


class AsyncTask:
    """An ``async_task`` whose options are attributes; changing one resets ``started``."""

    def __init__(self, func: Function, *args: Any, **kwargs: Any) -> None:
        self.func = func
        self.args = args
        self.kwargs, self._options = split_options(dict(kwargs), func)
        self.id: str | None = None
        self.started = False

    def _set(self, option: str, value: Any) -> None:
        self._options[option] = value
        self.started = False

    broker = property(
        lambda self: self._options.get("broker"),
        lambda self, value: self._set("broker", value),
        doc="The broker that it is sent through.",
    )
    sync = property(
        lambda self: self._options.get("sync"),
        lambda self, value: self._set("sync", value),
        doc="Whether it runs in the caller.",
    )
    save = property(
        lambda self: self._options.get("save"),
        lambda self, value: self._set("save", value),
        doc="Whether its success is stored.",
    )
    hook = property(
        lambda self: self._options.get("hook"),
        lambda self, value: self._set("hook", value),
        doc="What is called with the finished task.",
    )
    group = property(
        lambda self: self._options.get("group"),
        lambda self, value: self._set("group", value),
        doc="Its label.",
    )
    cached = property(
        lambda self: self._options.get("cached", current.conf.cached),
        lambda self, value: self._set("cached", value),
        doc="Whether, or for how many seconds, the cache keeps its result.",
    )

    def run(self) -> str:
        """Send it and return its id."""
        # None says "as usual", and of a timeout: no limit
        options = {
            key: value
            for key, value in self._options.items()
            if value is not None or key == "timeout"
        }
        self.id = async_task(self.func, *self.args, **self.kwargs, q_options=options)
        self.started = True
        return self.id

    def result(self, wait: Wait = 0) -> Any:
        """Return its result, or None while there is none; see ``tasks.result``."""
        if self.id is None or not self.started:
            return None
        return lookup.result(self.id, wait, self.cached)

    def fetch(self, wait: Wait = 0) -> Record | None:
        """Return the finished task, or None while it is not."""
        if self.id is None or not self.started:
            return None
        return lookup.fetch(self.id, wait, self.cached)

    def result_group(
        self, failures: bool = False, wait: Wait = 0, count: int | None = None
    ) -> list[Any]:
        """Return the results of its group; see ``tasks.result_group``."""
        if not self.group or not self.started:
            return []
        return lookup.result_group(self.group, failures, wait, count, self.cached)

    def fetch_group(
        self, failures: bool = True, wait: Wait = 0, count: int | None = None
    ) -> list[Record]:
        """Return the finished tasks of its group; see ``tasks.fetch_group``."""
        if not self.group or not self.started:
            return []
        return lookup.fetch_group(self.group, failures, wait, count, self.cached)

    async def arun(self) -> str:
        """Do what ``run`` does, for ``await``."""
        return await in_thread(self.run)

    async def aresult(self, wait: Wait = 0) -> Any:
        """Do what ``result`` does, for ``await``."""
        record = await self.afetch(wait)
        return None if record is None else record.result

    async def afetch(self, wait: Wait = 0) -> Record | None:
        """Do what ``fetch`` does, for ``await``."""
        if self.id is None or not self.started:
            return None
        return await alookup.afetch(self.id, wait, self.cached)

    async def aresult_group(
        self, failures: bool = False, wait: Wait = 0, count: int | None = None
    ) -> list[Any]:
        """Do what ``result_group`` does, for ``await``."""
        records = await self.afetch_group(failures, wait, count)
        return [record.result for record in records]

    async def afetch_group(
        self, failures: bool = True, wait: Wait = 0, count: int | None = None
    ) -> list[Record]:
        """Do what ``fetch_group`` does, for ``await``."""
        if not self.group or not self.started:
            return []
        return await alookup.afetch_group(
            self.group, failures, wait, count, self.cached
        )
