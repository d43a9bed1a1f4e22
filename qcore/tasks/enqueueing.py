"""Enqueueing: ``async_task`` and its kin, from the call to the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..conf.names import shown
from ..envelope import Task
from ..errors import EnqueueError
from ..runtime import current
from .build import builder_of
from .calls import announce, build_many, split_options
from .loops import refuse_broker_in_loop, refuse_in_loop
from .moments import delay_of
from .options import check_options, instead_of
from .sending import send

if TYPE_CHECKING:
    from ..brokers.base import Broker

Function = Callable[..., Any] | str


def async_task(func: Function, *args: Any, **kwargs: Any) -> str:
    """Send a function to the cluster and return the task's id.

    Args:
        func: a function of a module, or its dotted path: ``"shop.tasks.mail"``.
        args: its positional arguments.
        kwargs: its keyword arguments, and any of these options:

            - ``task_name`` (str): a name to find the result by;
            - ``group`` (str): a label shared with other tasks;
            - ``hook`` (function or path): called with the finished task;
            - ``timeout`` (seconds or None), ``max_attempts`` (int), ``ack_failure``
              (bool), ``save`` (bool), ``cached`` (bool or seconds): this task's own
              say over the setting;
            - ``cluster`` (str): the queue to send to; also ``queue``, unless the function
              takes a keyword of that name;
            - ``delay`` (seconds or timedelta): not before this long; the outbox keeps a
              delay that the broker cannot;
            - ``run_after`` (datetime or timedelta) and ``expires`` (seconds, timedelta or
              datetime): it begins not before the one, and not after the other;
            - ``priority`` (-100 to 100): a higher one is claimed first, as far as the
              broker can;
            - ``backoff``, ``retry_on`` and ``discard_on``: how long a failed task waits,
              after which errors it is tried again, and after which it is not;
            - ``track`` (bool): write down where the task is, so that ``status`` knows;
            - ``typed`` (bool): check the arguments against the annotations of the
              function, and send dataclasses and models as data;
            - ``commit`` ("on_commit" or "now"): see the setting ``commit``;
            - ``sync`` (bool): run it here and now; the setting of that name makes
              every call do so;
            - ``broker`` (Broker): send through this one;
            - ``q_options`` (dict): the options in one place, for functions that
              have keywords of the same names. Only ``q_options`` takes ``task_id``, an
              id of your own choice (32 hexadecimal digits, ``uuid.uuid4().hex``): a
              task that is sent twice with the same id runs once, as long as its result
              is kept.

    Returns:
        The id: 32 hexadecimal digits. It is that of another task where a plugin has
        found that this one need not be sent.

    Raises:
        EnqueueError: the function or an argument cannot be sent, or an option is wrong.
        NoReply: the task may be stored or not; ``error.task_ids`` has its id.
        BrokerUnavailable: the queue cannot be reached; nothing was sent.
    """
    kwargs, options = split_options(kwargs, func, with_id=True)
    task_id = options.pop("task_id", None)
    return enqueue_call(func, args, kwargs, options, task_id)


def enqueue_call(
    func: Function,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    task_id: str | None = None,
) -> str:
    """Do what ``async_task`` does, with options and keywords of the function apart."""
    # receivers may change where it goes, so they are asked before that is read
    func, call_args, kwargs, options = announce(func, args, kwargs, options)
    builder = builder_of(func, options)
    task = builder.task(call_args, kwargs, task_id=task_id, own_id=task_id is not None)
    skipped = dispatch([task], builder.options)
    return skipped.get(task.id, task.id) if skipped else task.id


#: The modern name of ``async_task``. It is not for ``await``: its variant is ``aenqueue``.
enqueue = async_task


def async_task_many(
    func: Function,
    args_list: Iterable[Sequence[Any]],
    **options: Any,
) -> list[str]:
    """Send one function with many argument lists, in one round trip per batch.

    Args:
        func: as for ``async_task``.
        args_list: one sequence of positional arguments for each task. A value that is
            no list or tuple is taken as the only argument.
        options: options of ``async_task``, the same for all. Keywords for the
            function are not possible here.

    Returns:
        The ids, in the order of ``args_list``.

    Raises:
        EnqueueError: the function or an argument cannot be sent; nothing was sent.
        BrokerError: the queue failed. Of ``error.task_ids``, the first ``error.stored``
            tasks are stored, the next ``error.unsure`` may be stored, and the rest is not.
    """
    rest, options = split_options(options)
    if rest:
        word = min(rest)
        raise EnqueueError(
            f"async_task_many() takes options only, got the keyword {word!r}"
            f"{instead_of(word)}. Put arguments for the function into args_list."
        )
    builder = builder_of(func, options)
    tasks = build_many(builder, func, as_calls(args_list))
    skipped = dispatch(tasks, builder.options, "async_task_many", "aenqueue_many")
    return [skipped.get(task.id, task.id) for task in tasks]


enqueue_many = async_task_many


def as_calls(args_list: Iterable[Any]) -> list[Sequence[Any]]:
    """Return the elements of an argument list, each as positional arguments.

    Raises:
        EnqueueError: it cannot be iterated over.
    """
    try:
        elements = iter(args_list)
    except TypeError:
        raise EnqueueError(
            f"the argument list is {shown(args_list)}, expected an iterable with the"
            " arguments of each call: [(1, 2), (3, 4)]."
        ) from None
    return [as_args(item) for item in elements]


def as_args(item: Any) -> Sequence[Any]:
    """Return one element of an argument list as positional arguments."""
    return item if isinstance(item, (list, tuple)) else (item,)


def dispatch(
    tasks: Sequence[Task],
    options: dict[str, Any],
    call: str = "async_task",
    variant: str = "aenqueue",
) -> Mapping[str, str]:
    """Send tasks, or run them here where ``sync`` says so.

    Args:
        tasks: all for the same queue.
        options: checked.
        call: who sends them, for the error where that would block an event loop.
        variant: what that is to call instead.

    Returns:
        Of tasks that a plugin has skipped: their ids, and the ids of those in their place.
    """
    if current.conf.sync or options.get("sync"):
        from .inline import run_inline  # with all that a worker has

        refuse_in_loop(call, variant)
        for task in tasks:
            run_inline(task)
        return {}
    return send(
        tasks,
        broker=options.get("broker"),
        delay=delay_of(options) if options else 0,
        commit=options.get("commit"),
        call=call,
        variant=variant,
    )


def schedule(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Store a schedule and return it.

    Args:
        func: a function of a module, or its dotted path.
        args: its positional arguments.
        kwargs: its keyword arguments, and any of ``name``, ``hook``,
            ``schedule_type`` ("O" once by default; see ``qcore.models.Schedule``),
            ``minutes``, ``cron``, ``repeats`` (-1: for ever), ``next_run`` (now by
            default), ``cluster``, ``intended_date_kwarg``, ``q_options``.

    Raises:
        EnqueueError, ConfigError: a part of it is wrong; nothing was stored.
    """
    refuse_in_loop("schedule", "aschedule")
    return current.scheduler.schedule(func, args, **kwargs)


def queue_size(broker: Broker | None = None) -> int:
    """Return how many tasks wait in the broker; those in a cluster are not counted."""
    options = check_options({"broker": broker})
    refuse_broker_in_loop(options.get("broker"), "queue_size", "aqueue_size")
    asked: Broker = options.get("broker") or current.broker()
    return asked.queue_size()
