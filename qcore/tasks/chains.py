"""Chain: tasks that run one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..conf.names import quoted, shown
from ..envelope import new_id
from ..errors import EnqueueError
from . import alookup, lookup, plugin_options
from .build import Link
from .calls import LINK_OPTIONS, are_keywords, build, split_options
from .enqueueing import Function, as_args, dispatch
from .functions import target_of
from .loops import in_thread
from .options import check_options, given, over, unknown_option
from .typed import typed
from .waiting import Cached, Wait

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..results.base import Record


def async_chain(
    chain: Sequence[Any],
    group: str | None = None,
    cached: Cached = None,
    sync: bool | None = None,
    broker: Broker | None = None,
    *,
    pass_results: bool = False,
    **options: Any,
) -> str:
    """Send tasks that run one after another; a failure stops the rest.

    Args:
        chain: functions, paths, or tuples ``(func, args, kwargs)`` of which the last
            two may be missing.
        group: the label of all links; None makes one.
        cached, sync, broker, options: as for ``async_task``, for every link.
        pass_results: each link gets the result of the one before it as its first argument,
            before its own. A result that cannot be stored makes its link fail.

    Returns:
        The group's label; ``result_group`` gives the results in order.

    Raises:
        EnqueueError: a link cannot be sent; nothing was.
    """
    if not isinstance(pass_results, bool):
        raise EnqueueError(
            f"pass_results is {shown(pass_results)}, expected True or False."
        )
    links = [_link(item) for item in _links(chain)]
    if not links:
        raise EnqueueError(
            "async_chain() got an empty chain; expected a list of calls."
        )
    rest, options = split_options(options)
    if rest:
        raise EnqueueError(f"async_chain(): {unknown_option(min(rest))}")
    options |= given(group=group, cached=cached, sync=sync, broker=broker)
    options = {"group": new_id()} | check_options(options)
    group = options["group"]
    for link in links[1:]:
        path, args, kwargs, declared = link
        own = over(declared, options)
        if pass_results:
            _, args, kwargs, _ = _plain(link, options, after=1)
            args = [None, *args]
            if own.get("typed"):
                own["typed"] = False  # the first argument is checked where it runs
        # what cannot be sent is told now
        build(path, args, kwargs, announced=True, **own)
    path, args, kwargs, declared = links[0]
    following = _on_the_wire(links, options, pass_results=pass_results)
    options = over(declared, options)
    task = build(path, args, kwargs, chain=following, **options)
    if pass_results:
        task = msgspec.structs.replace(
            task, options=msgspec.structs.replace(task.options, pass_results=True)
        )
    dispatch([task], options, "async_chain", "aenqueue_chain")
    return group


#: A link before it is sent: path, arguments, keywords, and options of its own, checked.
_Own = tuple[str, list[Any], dict[str, Any], dict[str, Any]]


def _on_the_wire(
    links: Sequence[_Own], options: dict[str, Any], *, pass_results: bool
) -> list[Link]:
    """Return the links after the first one, as its task carries them.

    What a function declares holds for its own link, and what the chain was given for all
    of them. Where no function declares anything, no link needs options of its own.
    """
    rest = [_plain(link, options, after=int(pass_results)) for link in links[1:]]
    if not any(declared for *_, declared in links):
        return [(path, args, kwargs) for path, args, kwargs, _ in rest]
    kept = LINK_OPTIONS | plugin_options.names().keys()
    return [
        (path, args, kwargs, {k: v for k, v in own.items() if k in kept})
        for path, args, kwargs, declared in rest
        for own in (over(declared, options),)
    ]


def _plain(link: _Own, options: dict[str, Any], *, after: int) -> _Own:
    """Return a link with its arguments as plain data, if it is typed.

    Args:
        link: before it is sent.
        options: of the chain.
        after: so many arguments come before its own, later.
    """
    path, args, kwargs, declared = link
    if not over(declared, options).get("typed"):
        return link
    _, function, _ = target_of(path)
    if function is not None:
        args, kwargs = typed(path, function).plain(args, kwargs, after=after)
    return path, args, kwargs, declared


enqueue_chain = async_chain


def _links(chain: Iterable[Any]) -> list[Any]:
    if isinstance(chain, str) or not isinstance(chain, Iterable):
        raise EnqueueError(
            f"a chain is {shown(chain)}, expected a list of calls: functions, paths, or"
            " tuples (func, args, kwargs)."
        )
    return list(chain)


def _link(item: Any) -> _Own:
    if isinstance(item, str) or callable(item):
        return _own(item, [], {})
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 3:
        func = item[0]
        args = item[1] if len(item) > 1 and item[1] is not None else ()
        kwargs = item[2] if len(item) > 2 and item[2] is not None else {}
        if are_keywords(kwargs):
            return _own(func, list(as_args(args)), dict(kwargs))
    raise EnqueueError(
        f"a link of a chain is {quoted(item)}; expected a function, its path, or a tuple"
        " (func, args, kwargs)."
    )


def _own(func: Function, args: list[Any], kwargs: dict[str, Any]) -> _Own:
    path, _, declared = target_of(func)
    return path, args, kwargs, dict(declared)


class Chain:
    """An ``async_chain`` that is put together link by link."""

    def __init__(
        self,
        chain: Sequence[Any] | None = None,
        group: str | None = None,
        cached: Cached = None,
        sync: bool | None = None,
        broker: Broker | None = None,
        *,
        pass_results: bool = False,
    ) -> None:
        self.pass_results = pass_results
        self.chain: list[Any] = _links(chain or [])
        self.group = group or new_id()
        self.cached = cached
        self.sync = sync
        self.broker = broker
        self.started = False

    def append(self, func: Function, *args: Any, **kwargs: Any) -> int:
        """Add a link; return how many there are."""
        self.chain.append((func, args, kwargs))
        if self.started:
            lookup.delete_group(self.group, cached=self.cached)
            self.started = False
        return self.length()

    def run(self) -> str:
        """Send the first link and return the group's label."""
        async_chain(
            self.chain, self.group, self.cached, self.sync, self.broker,
            pass_results=self.pass_results,
        )  # fmt: skip
        self.started = True
        return self.group

    def result(self, wait: Wait = 0) -> list[Any] | None:
        """Return the results of the links, in order; waits for all of them."""
        if not self.started:
            return None
        return lookup.result_group(self.group, False, wait, self.length(), self.cached)

    def fetch(self, failures: bool = True, wait: Wait = 0) -> list[Record] | None:
        """Return the finished links, in order; waits for all of them."""
        if not self.started:
            return None
        return lookup.fetch_group(
            self.group, failures, wait, self.length(), self.cached
        )

    def current(self) -> int | None:
        """Return which link runs now, from 1; None before the start."""
        if not self.started:
            return None
        return lookup.count_group(self.group, False, self.cached) + 1

    async def arun(self) -> str:
        """Do what ``run`` does, for ``await``."""
        return await in_thread(self.run)

    async def aresult(self, wait: Wait = 0) -> list[Any] | None:
        """Do what ``result`` does, for ``await``."""
        if not self.started:
            return None
        return await alookup.aresult_group(
            self.group, False, wait, self.length(), self.cached
        )

    async def afetch(
        self, failures: bool = True, wait: Wait = 0
    ) -> list[Record] | None:
        """Do what ``fetch`` does, for ``await``."""
        if not self.started:
            return None
        return await alookup.afetch_group(
            self.group, failures, wait, self.length(), self.cached
        )

    async def acurrent(self) -> int | None:
        """Do what ``current`` does, for ``await``."""
        return await in_thread(self.current)

    def length(self) -> int:
        """Return how many links there are."""
        return len(self.chain)
