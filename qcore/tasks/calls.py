"""Calls: what somebody asks for, on its way to becoming a Task."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..conf import Conf
from ..current import current
from ..envelope import Options, Task, new_id, task_name
from ..errors import EnqueueError, SerializeError, did_you_mean
from ..serializers import get_serializer
from .functions import check_call, path_of

#: Keywords of ``async_task`` that are about the task and not for the function.
OPTIONS = frozenset(
    {
        "ack_failure",
        "broker",
        "cached",
        "cluster",
        "commit",
        "delay",
        "group",
        "hook",
        "max_attempts",
        "save",
        "sync",
        "task_name",
        "timeout",
    }
)

#: Those that travel with the task as its own say over a setting.
_TRAVELLING = frozenset({"timeout", "ack_failure", "save", "cached", "max_attempts"})

#: A task that is enqueued by a task that ... this many times over is refused:
#: it would never end by itself.
MAX_DEPTH = 1000

#: One link of a chain on the wire: dotted path, positional and keyword arguments.
Link = tuple[str, list[Any], dict[str, Any]]


def split_options(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split keywords into those for the function and those about the task.

    An option may stand among the keywords or in ``q_options``. What stands in both is
    an option there and an argument here, so that a function can have a keyword of
    that name. The dictionaries passed in are not changed.

    Raises:
        EnqueueError: ``q_options`` holds an unknown option.
    """
    given = kwargs.get("q_options")
    if given is None:
        options = {key: kwargs[key] for key in kwargs.keys() & OPTIONS}
        if not options and "q_options" not in kwargs:
            return kwargs, options
    else:
        if not isinstance(given, dict):
            raise EnqueueError(
                f"q_options is {type(given).__name__}, expected a dictionary of options."
            )
        for key in given:
            if key not in OPTIONS:
                raise EnqueueError(
                    f"q_options: unknown option {key!r}{did_you_mean(key, OPTIONS)}."
                    f" Known options: {', '.join(sorted(OPTIONS))}."
                )
        options = {key: kwargs[key] for key in kwargs.keys() & OPTIONS} | given
    taken = OPTIONS - given.keys() if given else OPTIONS
    rest = {k: v for k, v in kwargs.items() if k not in taken and k != "q_options"}
    return rest, options


def build(
    func: Callable[..., Any] | str,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    task_id: str | None = None,
    chain: Sequence[Link] = (),
    slot: float | None = None,
    iter_index: int | None = None,
    iter_count: int | None = None,
    announced: bool = False,
    **options: Any,
) -> Task:
    """Return the Task of a call; nothing is sent.

    Args:
        func: a function of a module, or its dotted path.
        args: positional arguments, of types that the serializer knows.
        kwargs: keyword arguments.
        task_id: 32 hexadecimal digits; None makes a new one.
        chain: the links that follow.
        slot: the moment of the schedule that it is made for, epoch seconds.
        iter_index: its place among ``iter_count`` calls of one ``async_iter``.
        iter_count: how many they are.
        announced: receivers of ``pre_enqueue`` are not to be asked (again).
        options: see ``OPTIONS``.

    Raises:
        EnqueueError: the function has no path, or an argument cannot be sent.
    """
    conf = current.conf
    kwargs = kwargs or {}
    if not announced:
        func, args, kwargs, options = announce(func, args, kwargs, options)
    path = path_of(func)
    _refuse_forbidden(path, conf)
    check_call(path, args, kwargs)
    task_id = task_id or new_id()
    own = {key: options[key] for key in options.keys() & _TRAVELLING}
    hook = options.get("hook")
    return Task(
        id=task_id,
        name=options.get("task_name") or task_name(path, task_id),
        func=path,
        queue=_queue(path, options, conf),
        created=time.time(),
        content=conf.serializer,
        body=_body(path, args, kwargs, chain, conf),
        group=options.get("group"),
        hook=None if hook is None else path_of(hook),
        options=_travelling(own) if own else NO_OPTIONS,
        slot=slot,
        iter_index=iter_index,
        iter_count=iter_count,
        depth=_depth(path),
        links=len(chain),
    )


NO_OPTIONS = Options()


def announce(
    func: Callable[..., Any] | str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
) -> tuple[Callable[..., Any] | str, Sequence[Any], dict[str, Any], dict[str, Any]]:
    """Let receivers of ``pre_enqueue`` change a call, where there are any."""
    from ..signals import SENDER, pre_enqueue

    if not pre_enqueue.receivers:
        return func, args, kwargs, options
    call = {"func": func, "args": args, "kwargs": kwargs, **options}
    pre_enqueue.send_robust(sender=SENDER, task=call)
    return call.pop("func"), call.pop("args"), call.pop("kwargs"), call


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


def _body(
    path: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    chain: Sequence[Link],
    conf: Conf,
) -> bytes:
    call = (
        [list(args), kwargs, [list(link) for link in chain]]
        if chain
        else [
            list(args),
            kwargs,
        ]
    )
    try:
        body = get_serializer(conf.serializer).dumps(call)
    except SerializeError as error:
        raise EnqueueError(f"cannot send {path}: {error}") from error
    if len(body) > conf.max_payload:
        raise EnqueueError(
            f"cannot send {path}: its arguments take {len(body):,} bytes, max_payload is"
            f" {conf.max_payload:,}. Store the data and pass its key."
        )
    return body


def _travelling(own: dict[str, Any]) -> Options:
    try:
        return msgspec.convert(own, Options)
    except msgspec.ValidationError as error:
        raise EnqueueError(f"a task option has the wrong type: {error}") from error


def _refuse_forbidden(path: str, conf: Conf) -> None:
    if not is_allowed(path, conf):
        raise EnqueueError(
            f"cannot send {path}: Q_CLUSTER['allowed_tasks'] admits only"
            f" {', '.join(conf.allowed_tasks or ())}."
        )


def is_allowed(path: str, conf: Conf) -> bool:
    """Return whether ``allowed_tasks`` admits a path; without the setting, any."""
    if conf.allowed_tasks is None:
        return True
    return any(
        path == prefix or path.startswith(f"{prefix}.") for prefix in conf.allowed_tasks
    )


# -- tasks that come of a task ---------------------------------------------------
class Running:
    """The task that this process is running, if it is a worker."""

    depth: int | None = None


def _depth(path: str) -> int:
    if Running.depth is None:
        return 0
    depth = Running.depth + 1
    if depth > MAX_DEPTH:
        raise EnqueueError(
            f"cannot send {path}: {MAX_DEPTH} tasks in a row were each enqueued by the one"
            " before; this chain would never end. Use a schedule for what repeats."
        )
    return depth


def follow_on_id(task_id: str) -> str:
    """Return the id of the link after a task: the same however often it is asked."""
    return hashlib.blake2b(f"{task_id} next".encode(), digest_size=16).hexdigest()


def next_link(task: Task) -> Task | None:
    """Return the task that follows in a chain, or None at its end.

    Its id is derived from its predecessor's, so a predecessor that is delivered
    twice makes the same follower twice, and the second is recognised.
    """
    if not task.links:
        return None
    call = get_serializer(task.content).loads(task.body)
    path, args, kwargs = call[2][0]  # type: ignore[index]
    rest = call[2][1:]  # type: ignore[index]
    task_id = follow_on_id(task.id)
    body = [list(args), kwargs, rest] if rest else [list(args), kwargs]
    return msgspec.structs.replace(
        task,
        id=task_id,
        name=task_name(path, task_id),
        func=path,
        created=time.time(),
        body=get_serializer(task.content).dumps(body),
        links=len(rest),
        link=task.link + 1,
    )
