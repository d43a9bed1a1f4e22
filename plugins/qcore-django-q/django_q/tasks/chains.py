"""Tasks that run one after another."""

from __future__ import annotations

from typing import Any

from qcore import tasks as ours
from qcore.envelope import new_id
from qcore.errors import EnqueueError
from qcore.tasks.waiting import Wait

from .defaults import UNSET, cached_or_default, sync_or_default
from .lookup import count_group, delete_group, fetch_group, result_group
from .sending import Function, async_task


def async_chain(
    chain: list[Any],
    group: str | None = None,
    cached: Any = UNSET,
    sync: Any = UNSET,
    broker: Any = None,
) -> str:
    """Send tasks that run one after another; return the label of their group.

    Args:
        chain: functions, paths, or tuples (function, arguments, keywords).
        group: the label; None makes one.
        cached: keep the results in the cache.
        sync: run the tasks here.
        broker: send through this one.
    """
    options: dict[str, Any] = {}
    if cached_or_default(cached):
        options["cached"] = cached_or_default(cached)
    if sync_or_default(sync):
        options["sync"] = True
    links = [link if isinstance(link, tuple | list) else (link,) for link in chain]
    if not links:
        raise EnqueueError(
            "async_chain() got an empty chain; expected a list of calls."
        )
    if broker is None or options.get("sync"):
        return ours.async_chain(links, group, **options)
    group = group or new_id()
    first = links[0]
    async_task(
        first[0],
        *(first[1] if len(first) > 1 else ()),
        **(first[2] if len(first) > 2 else {}),
        q_options={"group": group, "chain": links[1:], "broker": broker, **options},
    )
    return group


class Chain:
    """An ``async_chain`` that is put together link by link."""

    def __init__(
        self,
        chain: list[Any] | None = None,
        group: str | None = None,
        cached: Any = UNSET,
        sync: Any = UNSET,
        broker: Any = None,
    ) -> None:
        self.chain = chain or []
        self.group = group or ""
        self.broker = broker
        self.cached = cached_or_default(cached)
        self.sync = sync_or_default(sync)
        self.started = False

    def append(self, func: Function, *args: Any, **kwargs: Any) -> int:
        """Add a link; return how many there are."""
        self.chain.append((func, args, kwargs))
        if self.started:
            delete_group(self.group, cached=self.cached)
            self.started = False
        return self.length()

    def run(self) -> str:
        """Send the first link and return the label of the group."""
        self.group = async_chain(
            list(self.chain),
            self.group or None,
            cached=self.cached,
            sync=self.sync,
            broker=self.broker,
        )
        self.started = True
        return self.group

    def result(self, wait: Wait = 0) -> Any:
        """Return the results of the links; waits for all of them."""
        if not self.started:
            return None
        count = self.length() if wait else None
        return result_group(self.group, wait=wait, count=count, cached=self.cached)

    def fetch(self, failures: bool = True, wait: Wait = 0) -> Any:
        """Return the finished links; waits for all of them."""
        if not self.started:
            return None
        count = self.length() if wait else None
        return fetch_group(
            self.group, failures=failures, wait=wait, count=count, cached=self.cached
        )

    def current(self) -> int | None:
        """Return which link runs now, from 1; at the end, the last one."""
        if not self.started:
            return None
        done = count_group(self.group, cached=self.cached) or 0
        return min(int(done) + 1, self.length())

    def length(self) -> int:
        """Return how many links there are."""
        return len(self.chain)
