"""One result of many calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qcore import tasks as ours
from qcore.tasks.waiting import Wait

from ..brokers import get_broker
from ..models import Task
from .defaults import UNSET, cached_or_default, sync_or_default
from .lookup import fetch, result
from .sending import Function


def async_iter(func: Function, args_iter: Sequence[Any], **kwargs: Any) -> str:
    """Send a function with many arguments, whose results become one; return its id.

    Args:
        func: a function of a module, or its dotted path.
        args_iter: the arguments of each call: a tuple, or one value.
        kwargs: options of ``async_task``.
    """
    options = dict(kwargs.get("q_options") or kwargs)
    for name in ("hook", "broker", "iter_count", "iter_cached", "chain"):
        options.pop(name, None)
    if not options.get("cached"):
        options.pop("cached", None)
    if not options.get("sync"):
        options.pop("sync", None)
    return ours.async_iter(
        func,
        [one if isinstance(one, tuple) else (one,) for one in args_iter],
        **{key: value for key, value in options.items() if value is not None},
    )


class Iter:
    """An ``async_iter`` that is put together call by call."""

    def __init__(
        self,
        func: Function | None = None,
        args: list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        cached: Any = UNSET,
        sync: Any = UNSET,
        broker: Any = None,
    ) -> None:
        self.func = func
        self.args = args or []
        self.kwargs = kwargs or {}
        self.id = ""
        self.broker = broker or get_broker()
        self.cached = cached_or_default(cached)
        self.sync = sync_or_default(sync)
        self.started = False

    def append(self, *args: Any) -> int:
        """Add a call; return how many there are."""
        self.args.append(args)
        self.started = False
        return self.length()

    def run(self) -> str:
        """Send the calls and return the id of their result."""
        options = {**self.kwargs, "cached": self.cached, "sync": self.sync}
        self.id = async_iter(self.func or "", self.args, **options)
        self.started = True
        return self.id

    def result(self, wait: Wait = 0) -> Any:
        """Return the list of results, or None."""
        return result(self.id, wait, self.cached) if self.started else None

    def fetch(self, wait: Wait = 0) -> Task | None:
        """Return the joined task, or None."""
        return fetch(self.id, wait, self.cached) if self.started else None

    def length(self) -> int:
        """Return how many calls there are."""
        return len(self.args)
