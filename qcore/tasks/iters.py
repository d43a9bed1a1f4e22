"""Iter: many calls of one function, whose results become one list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..conf.names import shown
from ..envelope import Task, new_id
from ..errors import EnqueueError
from ..runtime import current
from . import alookup, completions, lookup
from .build import Builder
from .calls import are_keywords, build, build_many, split_options
from .enqueueing import Function, as_calls, dispatch
from .inline import store_value
from .loops import in_thread, refuse_in_loop
from .options import given
from .waiting import Cached, Wait

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..results.base import Record


def async_iter(
    func: Function,
    args_iter: Iterable[Any],
    *,
    on_complete: Function | None = None,
    **kwargs: Any,
) -> str:
    """Send a function once for each element, and join the results into one.

    Args:
        func: a function of a module, or its dotted path.
        args_iter: for each call its positional arguments, or the only one.
        on_complete: a function of a module, or its dotted path. It is sent as a task once
            no call will run again, however they have ended, with the id of the iter as its
            argument. It may run twice, as any task. The calls and this task are sent
            together through the outbox, so it needs the tables of qcore. It goes to the
            queue of the calls, unless it declares another. It may stand in
            ``q_options``, too; then a keyword of that name is one for ``func``.
        kwargs: options of ``async_task``, for every call (so a ``hook`` is called for
            each of them, and not for the joined result); keywords for the function are
            passed to every call, too.

    Returns:
        The id under which ``result`` gives the list of all results, in the order
        of ``args_iter``, once no call will run again. It is a success if all of them
        are. A call that fails is tried again for ever unless ``max_attempts`` or
        ``ack_failure`` ends that, and the list waits as long.

    Raises:
        EnqueueError: a call cannot be sent; none was.
    """
    given = kwargs.get("q_options")
    if isinstance(given, dict) and "on_complete" in given:
        if on_complete is not None:  # one for the function, as with every option
            kwargs["on_complete"] = on_complete
        own = given.copy()
        on_complete = own.pop("on_complete")
        kwargs["q_options"] = own
    kwargs, options = split_options(kwargs, func)
    calls = as_calls(args_iter)
    group = new_id()
    builder = Builder(func, options | {"group": group})
    options = builder.options
    following = None
    if on_complete is not None:
        following = completions.completion_of(on_complete, group, options)
    if not calls:
        return _empty_iter(group, options, following)
    tasks = build_many(builder, func, calls, kwargs, iter_id=group)
    if following is None:
        _dispatch(tasks, options)
    elif current.conf.sync or options.get("sync"):
        _dispatch(tasks, options)
        _dispatch([following], {"sync": True})
    else:
        refuse_in_loop("async_iter", "aenqueue_iter")
        completions.send_with(following, tasks, options)
    return group


enqueue_iter = async_iter


def _dispatch(tasks: Sequence[Task], options: dict[str, Any]) -> None:
    dispatch(tasks, options, "async_iter", "aenqueue_iter")


def _empty_iter(group: str, options: dict[str, Any], following: Task | None) -> str:
    """Send no call: the joined result of none is the empty list, at once."""
    refuse_in_loop("async_iter", "aenqueue_iter")
    call = {key: options[key] for key in options.keys() & {"cached", "task_name"}}
    store_value(build("builtins.list", (), task_id=group, group=group, **call), [])
    if following is not None:
        _dispatch([following], given(sync=options.get("sync")))
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
        options = given(cached=self.cached, sync=self.sync, broker=self.broker)
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
