"""The builder of Tasks: what all calls of one function share is looked up once.

A thousand calls in one ``async_task_many`` differ in their arguments and ids alone. With
path, queue, hook and options looked up for each of them, building took 6 of the 17 µs
that a task cost its caller there, more than signing and sending it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import msgspec
from msgspec import UNSET

from ..clock import Clock
from ..conf import Conf
from ..envelope import Options, Task, new_id, task_name
from ..errors import EnqueueError, SerializeError
from ..runtime import current
from ..serializers import get_serializer
from .allowed_tasks import ANNOUNCE, is_allowed
from .arguments import check_arguments
from .functions import leads_to, target_of
from .moments import check_moments, expires_at
from .options import OWN_FIELDS, TASK_FIELDS, check_id, check_options, over
from .plugin_options import chosen
from .typed import typed

#: A task that is enqueued by a task that ... this many times over is refused:
#: it would never end by itself.
MAX_DEPTH = 1000

NO_OPTIONS = Options()

#: One link of a chain on the wire: dotted path, positional and keyword arguments, and its
#: own options. Without options, and with only three parts, it has those of the link before.
Link = (
    tuple[str, list[Any], dict[str, Any]]
    | tuple[str, list[Any], dict[str, Any], dict[str, Any]]
)


class Running:
    """The task that this process is running, if it is a worker."""

    depth: int | None = None


class Builder:
    """Makes the Tasks of one function with one set of options.

    Args:
        func: a function of a module, or its dotted path.
        options: see ``options.TaskOptions``.

    Raises:
        EnqueueError: the function has no path, or an option is wrong.
    """

    def __init__(self, func: Callable[..., Any] | str, options: dict[str, Any]) -> None:
        conf = self._conf = current.conf
        self.path, self._function, declared = target_of(func)
        if options:
            options = check_options(options)
        if declared:
            options = over(declared, options)
        #: The options of the call over those that the function declares, checked.
        self.options = options
        if not is_allowed(self.path, conf):
            raise EnqueueError(
                f"cannot send {self.path}: Q_CLUSTER['allowed_tasks'] admits only"
                f" {', '.join(conf.allowed_tasks or ())}."
            )
        self._options = travelling(options) if options else NO_OPTIONS
        hook = options.get("hook")
        if hook is not None and not is_allowed(hook, conf):
            raise EnqueueError(
                f"cannot send {self.path} with the hook {hook}:"
                " Q_CLUSTER['allowed_tasks'] admits only"
                f" {', '.join(conf.allowed_tasks or ())}."
            )
        #: Fields of the Task that options fill.
        self._fields: dict[str, Any] = {}
        self._expires = options.get("expires")
        if options:
            self._fields = {key: options[key] for key in options.keys() & TASK_FIELDS}
            check_moments(options)
        self._typed = None
        if options.get("typed") and self._function is not None:
            self._typed = typed(self.path, self._function)
        self._name = options.get("task_name")
        self._queue = _queue(self.path, options, conf)
        #: whether nothing is said of its tasks but function and arguments
        self._is_plain = not options
        self._content = conf.serializer
        self._dumps = get_serializer(conf.serializer).dumps
        self._max_payload = conf.max_payload

    def task(
        self,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        task_id: str | None = None,
        chain: Sequence[Link] = (),
        slot: float | None = None,
        iter_index: int | None = None,
        iter_count: int | None = None,
        own_id: bool = False,
        backend: str | None = None,
        takes_context: bool = False,
        priority: int = 0,
    ) -> Task:
        """Return the Task of one call; see ``calls.build``.

        With ``own_id`` the caller has chosen the id, and may send the task twice. With
        ``backend``, its alias in TASKS, it is a task of ``django.tasks``.

        Raises:
            EnqueueError: the function does not take the arguments, or they cannot be sent.
        """
        if self._function is not None:
            given = [None, *args] if takes_context else args
            check_arguments(self.path, self._function, given, kwargs)
            if self._typed is not None:
                args, kwargs = self._typed.plain(args, kwargs)
        if self._is_plain and not (
            own_id or chain or backend or iter_count or slot is not None
        ):
            return self._plain_task(args, kwargs, task_id or new_id())
        own = self._options
        fields = self._fields
        if backend is not None:
            own = msgspec.structs.replace(
                own,
                track=True,
                backend=backend,
                takes_context=takes_context or UNSET,
            )
            fields = {**fields, "hook": ANNOUNCE, "priority": priority}
        if own_id:
            check_id(task_id)
            own = msgspec.structs.replace(own, own_id=True)
        task_id = task_id or new_id()
        created = time.time() + Clock.offset
        if self._expires is not None:
            fields = {**fields, "expires": expires_at(self._expires, created)}
        return Task(
            id=task_id,
            name=self._name or task_name(self.path, task_id),
            func=self.path,
            queue=self._queue,
            created=created,
            content=self._content,
            body=self._body(args, kwargs, chain),
            options=own,
            slot=slot,
            iter_index=iter_index,
            iter_count=iter_count,
            depth=_depth(self.path),
            links=len(chain),
            **fields,
        )

    def _plain_task(
        self, args: Sequence[Any], kwargs: dict[str, Any], task_id: str
    ) -> Task:
        """Return a task of which nothing more is said: most are, and this is faster."""
        return Task(
            id=task_id,
            name=task_name(self.path, task_id),
            func=self.path,
            queue=self._queue,
            created=time.time() + Clock.offset,
            content=self._content,
            body=self._body(args, kwargs, ()),
            depth=0 if Running.depth is None else _depth(self.path),
        )

    def is_for(self, conf: Conf) -> bool:
        """Whether it would be made again as it is, under these settings."""
        return self._conf is conf and leads_to(self.path, self._function)

    def _body(
        self, args: Sequence[Any], kwargs: dict[str, Any], chain: Sequence[Link]
    ) -> bytes:
        call: list[Any] = [list(args), kwargs]
        if chain:
            call.append([list(link) for link in chain])
        try:
            body = self._dumps(call)
        except SerializeError as error:
            raise EnqueueError(f"cannot send {self.path}: {error}") from error
        if len(body) > self._max_payload:
            raise EnqueueError(
                f"cannot send {self.path}: its arguments take {len(body):,} bytes,"
                f" max_payload is {self._max_payload:,}. Store the data and pass its key."
            )
        return body


#: Builders of plain tasks, by what was called.
_plain: dict[Callable[..., Any] | str, Builder] = {}
#: Functions for which one is kept; a project with more makes some anew.
_MOST = 1024


def builder_of(func: Callable[..., Any] | str, options: dict[str, Any]) -> Builder:
    """Return the builder of a call: for one without options, that of the call before.

    A name may lead to something else by then (a test has patched it), and settings may have
    changed: then another one is made.

    Args:
        func: a function of a module, or its dotted path.
        options: see ``options.TaskOptions``.

    Raises:
        EnqueueError: see ``Builder``.
    """
    if options or type(func) not in _KEPT:
        return Builder(func, options)
    known = _plain.get(func)
    if known is not None and known.is_for(current.conf):
        return known
    made = Builder(func, {})
    if made.is_for(current.conf) and not made.options:
        if len(_plain) >= _MOST:
            _plain.clear()
        _plain[func] = made
    return made


#: What is known again when it is called again: a stranger's object may be equal to another.
_KEPT = frozenset({str, FunctionType})


def _queue(path: str, options: dict[str, Any], conf: Conf) -> str:
    """Return the queue of a call, which is the one that its package is signed for."""
    cluster: str | None = options.get("cluster")
    broker = options.get("broker")
    if broker is None:
        return cluster or conf.queue
    queue: str = broker.queue
    if cluster and cluster != queue:
        raise EnqueueError(
            f"cannot send {path}: its cluster is {cluster!r}, and the broker given with"
            f" it sends to {queue!r}. Leave one of them out."
        )
    return queue


def travelling(options: Mapping[str, Any]) -> Options:
    """Return the options in which a task differs from the settings."""
    own = {key: options[key] for key in options.keys() & OWN_FIELDS}
    if of_plugins := chosen(options):
        own["plugins"] = of_plugins
    return Options(**own) if own else NO_OPTIONS


def _depth(path: str) -> int:
    if Running.depth is None:
        return 0
    depth = Running.depth + 1
    if depth > MAX_DEPTH:
        raise EnqueueError(
            f"cannot send {path}: {MAX_DEPTH} tasks in a row were each enqueued by the one"
            " before; this chain would never end. Use a schedule for a task that repeats."
        )
    return depth
