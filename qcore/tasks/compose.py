"""Composition: many calls as one (Iter), one after another (Chain), one as an object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..conf.names import quoted, shown
from ..envelope import new_id
from ..errors import EnqueueError
from ..runtime import current
from . import alookup, lookup
from .build import Builder, Link
from .calls import are_keywords, build, build_many, split_options
from .enqueueing import as_args, as_calls, async_task, dispatch
from .functions import path_of
from .inline import store_value
from .loops import in_thread, refuse_in_loop
from .options import check_options, unknown_option
from .waiting import Cached, Wait

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..results.base import Record

Function = Callable[..., Any] | str


# -- iter ------------------------------------------------------------------------------
def async_iter(func: Function, args_iter: Iterable[Any], **kwargs: Any) -> str:
    """Send a function once for each element, and join the results into one.

    Args:
        func: a function of a module, or its dotted path.
        args_iter: for each call its positional arguments, or the only one.
        kwargs: options of ``async_task``, for every call (so a ``hook`` is called for
            each of them, and not for the joined result); keywords for the function are
            passed to every call, too.

    Returns:
        The id under which ``result`` gives the list of all results, in the order
        of ``args_iter``, once the last of them is there. It is a success if
        all of them are.

    Raises:
        EnqueueError: a call cannot be sent; none was.
    """
    kwargs, options = split_options(kwargs)
    calls = as_calls(args_iter)
    group = new_id()
    options = Builder(func, options | {"group": group}).options
    if not calls:
        return _empty_iter(group, options)
    tasks = build_many(func, calls, kwargs, iter_id=group, **options)
    dispatch(tasks, options, "async_iter", "aenqueue_iter")
    return group


enqueue_iter = async_iter


def _empty_iter(group: str, options: dict[str, Any]) -> str:
    """Send nothing: the joined result of no calls is the empty list, at once."""
    refuse_in_loop("async_iter", "aenqueue_iter")
    call = {key: options[key] for key in options.keys() & {"cached", "task_name"}}
    store_value(build("builtins.list", (), task_id=group, group=group, **call), [])
    return group


class Iter:
    """An ``async_iter`` that is put together call by call."""

    def __init__(
        self,
        func: Function | None = None,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        cached: Cached = None,
        sync: bool | None = None,
        broker: Broker | None = None,
    ) -> None:
        if not are_keywords(kwargs or {}):
            raise EnqueueError(
                f"the keywords of an Iter are {shown(kwargs)}, expected a dictionary"
                " whose keys are names."
            )
        self.func = func
        self.args: list[Any] = list(as_calls(args or []))
        self.kwargs = dict(kwargs or {})
        self.cached = cached
        self.sync = sync
        self.broker = broker
        self.id: str | None = None
        self.started = False

    def append(self, *args: Any) -> int:
        """Add a call with these arguments; return how many there are."""
        self.args.append(args)
        self.started = False
        return self.length()

    def run(self) -> str:
        """Send all calls and return the id of the joined result."""
        if self.func is None:
            raise EnqueueError("Iter has no function; pass one: Iter(func).")
        options = _given(cached=self.cached, sync=self.sync, broker=self.broker)
        self.id = async_iter(self.func, self.args, **{**self.kwargs, **options})
        self.started = True
        return self.id

    def result(self, wait: Wait = 0) -> list[Any] | None:
        """Return the list of results, or None while one is missing."""
        if self.id is None or not self.started:
            return None
        results: list[Any] | None = lookup.result(self.id, wait, self.cached)
        return results

    def fetch(self, wait: Wait = 0) -> Record | None:
        """Return the joined record, or None while one is missing."""
        if self.id is None or not self.started:
            return None
        return lookup.fetch(self.id, wait, self.cached)

    async def arun(self) -> str:
        """Do what ``run`` does, for ``await``."""
        return await in_thread(self.run)

    async def aresult(self, wait: Wait = 0) -> list[Any] | None:
        """Do what ``result`` does, for ``await``."""
        record = await self.afetch(wait)
        return None if record is None else record.result

    async def afetch(self, wait: Wait = 0) -> Record | None:
        """Do what ``fetch`` does, for ``await``."""
        if self.id is None or not self.started:
            return None
        return await alookup.afetch(self.id, wait, self.cached)

    def length(self) -> int:
        """Return how many calls there are."""
        return len(self.args)


# -- chain -----------------------------------------------------------------------------
def async_chain(
    chain: Sequence[Any],
    group: str | None = None,
    cached: Cached = None,
    sync: bool | None = None,
    broker: Broker | None = None,
    **options: Any,
) -> str:
    """Send tasks that run one after another; a failure stops the rest.

    Args:
        chain: functions, paths, or tuples ``(func, args, kwargs)`` of which the last
            two may be missing.
        group: the label of all links; None makes one.
        cached, sync, broker, options: as for ``async_task``, for every link.

    Returns:
        The group's label; ``result_group`` gives the results in order.

    Raises:
        EnqueueError: a link cannot be sent; nothing was.
    """
    links = [_link(item) for item in _links(chain)]
    if not links:
        raise EnqueueError(
            "async_chain() got an empty chain; expected a list of calls."
        )
    rest, options = split_options(options)
    if rest:
        raise EnqueueError(f"async_chain(): {unknown_option(min(rest))}")
    options |= _given(group=group, cached=cached, sync=sync, broker=broker)
    options = {"group": new_id()} | check_options(options)
    group = options["group"]
    for path, args, kwargs in links[1:]:
        build(path, args, kwargs, announced=True)  # what cannot be sent is told now
    path, args, kwargs = links[0]
    task = build(path, args, kwargs, chain=links[1:], **options)
    dispatch([task], options, "async_chain", "aenqueue_chain")
    return group


enqueue_chain = async_chain


def _links(chain: Iterable[Any]) -> list[Any]:
    if isinstance(chain, str) or not isinstance(chain, Iterable):
        raise EnqueueError(
            f"a chain is {shown(chain)}, expected a list of calls: functions, paths, or"
            " tuples (func, args, kwargs)."
        )
    return list(chain)


def _link(item: Any) -> Link:
    if isinstance(item, str) or callable(item):
        return path_of(item), [], {}
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 3:
        func = item[0]
        args = item[1] if len(item) > 1 and item[1] is not None else ()
        kwargs = item[2] if len(item) > 2 and item[2] is not None else {}
        if are_keywords(kwargs):
            return path_of(func), list(as_args(args)), dict(kwargs)
    raise EnqueueError(
        f"a link of a chain is {quoted(item)}; expected a function, its path, or a tuple"
        " (func, args, kwargs)."
    )


class Chain:
    """An ``async_chain`` that is put together link by link."""

    def __init__(
        self,
        chain: Sequence[Any] | None = None,
        group: str | None = None,
        cached: Cached = None,
        sync: bool | None = None,
        broker: Broker | None = None,
    ) -> None:
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
        async_chain(self.chain, self.group, self.cached, self.sync, self.broker)
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


# -- one task as an object ---------------------------------------------------------------
class AsyncTask:
    """An ``async_task`` whose options are attributes; changing one resets ``started``."""

    def __init__(self, func: Function, *args: Any, **kwargs: Any) -> None:
        self.func = func
        self.args = args
        self.kwargs, self._options = split_options(dict(kwargs))
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


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that say something."""
    return {key: value for key, value in options.items() if value is not None}
