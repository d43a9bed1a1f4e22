"""The API of qcore: send tasks, schedule them, ask what became of them.

Names, options and defaults are those that django-q's users know. Everything here
raises subclasses of ``qcore.errors.QcoreError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .calls import build, split_options
from .current import current
from .envelope import Task
from .errors import EnqueueError
from .inline import run_inline
from .sending import send
from .waiting import UNSET_CACHED, Cached, Wait, chosen_store, wait_for

if TYPE_CHECKING:
    from .brokers.base import Broker
    from .results.base import Record

__all__ = [
    "AsyncTask",
    "Chain",
    "Iter",
    "async_chain",
    "async_iter",
    "async_task",
    "async_task_many",
    "count_group",
    "count_group_cached",
    "delete",
    "delete_cached",
    "delete_group",
    "delete_group_cached",
    "fetch",
    "fetch_cached",
    "fetch_group",
    "fetch_group_cached",
    "queue_size",
    "result",
    "result_cached",
    "result_group",
    "result_group_cached",
    "schedule",
]

Function = Callable[..., Any] | str


# -- sending -------------------------------------------------------------------------
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
            - ``cluster`` (str): the queue to send to;
            - ``delay`` (seconds): not before this long, where the broker can;
            - ``commit`` ("on_commit" or "now"): see the setting ``commit``;
            - ``sync`` (bool): run it here and now;
            - ``broker`` (Broker): send through this one;
            - ``q_options`` (dict): the options in one place, for functions that
              have keywords of the same names.

    Returns:
        The id: 32 hexadecimal digits.

    Raises:
        EnqueueError: the function or an argument cannot be sent.
        BrokerUnavailable: the queue cannot be reached; nothing was sent.
    """
    kwargs, options = split_options(kwargs)
    func, args, kwargs, options = _announce(func, args, kwargs, options)
    task = build(func, args, kwargs, **options)
    _dispatch([task], options)
    return task.id


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
    """
    rest, options = split_options(options)
    if rest:
        raise EnqueueError(
            f"async_task_many() takes options only, got the keyword {min(rest)!r}. Put"
            " arguments for the function into args_list."
        )
    tasks = [build(func, as_args(item), **options) for item in args_list]
    _dispatch(tasks, options)
    return [task.id for task in tasks]


def as_args(item: Any) -> Sequence[Any]:
    """Return one element of an argument list as positional arguments."""
    return item if isinstance(item, (list, tuple)) else (item,)


def _announce(
    func: Function,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
) -> tuple[Function, Sequence[Any], dict[str, Any], dict[str, Any]]:
    """Let ``pre_enqueue`` receivers change the call, where there are any."""
    from .signals import SENDER, pre_enqueue

    if not pre_enqueue.receivers:
        return func, args, kwargs, options
    call = {"func": func, "args": args, "kwargs": kwargs, **options}
    pre_enqueue.send_robust(sender=SENDER, task=call)
    return call.pop("func"), call.pop("args"), call.pop("kwargs"), call


def _dispatch(tasks: Sequence[Task], options: dict[str, Any]) -> None:
    """Send tasks, or run them here where ``sync`` says so."""
    sync = options.get("sync")
    if current.conf.sync if sync is None else sync:
        for task in tasks:
            run_inline(task)
        return
    send(
        tasks,
        broker=options.get("broker"),
        delay=options.get("delay") or 0,
        commit=options.get("commit"),
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
    return current.scheduler.schedule(func, args, **kwargs)


def queue_size(broker: Broker | None = None) -> int:
    """Return how many tasks wait in the broker; those in a cluster are not counted."""
    return (broker or current.broker()).queue_size()


# -- one task ------------------------------------------------------------------------
def result(task_id: str, wait: Wait = 0, cached: Cached = UNSET_CACHED) -> Any:
    """Return what a task returned, the text of its error, or None while there is neither.

    Args:
        task_id: its id or its name.
        wait: milliseconds to wait for it; -1 waits for ever.
        cached: look in the cache instead of the database.
    """
    record = fetch(task_id, wait, cached)
    return None if record is None else record.result


def fetch(
    task_id: str, wait: Wait = 0, cached: Cached = UNSET_CACHED
) -> Record | None:
    """Return the finished task, with its result, or None; see ``result``."""
    store = chosen_store(cached)
    return wait_for(lambda: store.fetch(task_id), wait)


def delete(task_id: str, cached: Cached = UNSET_CACHED) -> bool:
    """Forget the result of a task; return whether there was one."""
    return chosen_store(cached).delete(task_id)


# -- groups --------------------------------------------------------------------------
def result_group(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    cached: Cached = UNSET_CACHED,
) -> list[Any]:
    """Return the results of a group's tasks.

    Args:
        group_id: the label.
        failures: include the error texts of failures.
        wait: milliseconds to wait for ``count`` results; -1 waits for ever.
        count: how many finished tasks to wait for.
        cached: look in the cache instead of the database.
    """
    return [
        record.result
        for record in fetch_group(group_id, failures, wait, count, cached)
    ]


def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    cached: Cached = UNSET_CACHED,
) -> list[Record]:
    """Return the finished tasks of a group; ``failures`` includes those. See ``result_group``."""
    store = chosen_store(cached)
    if count is not None:
        done = lambda: _finished(store.fetch_group(group_id, True), count)  # noqa: E731
        wait_for(done, wait)
    return store.fetch_group(group_id, failures)


def _finished(records: list[Record], count: int) -> bool | None:
    return True if len(records) >= count else None


def count_group(
    group_id: str, failures: bool = False, cached: Cached = UNSET_CACHED
) -> int:
    """Count the finished tasks of a group; with ``failures`` only the failed ones."""
    return chosen_store(cached).count_group(group_id, failures)


def delete_group(
    group_id: str, tasks: bool = False, cached: Cached = UNSET_CACHED
) -> int:
    """Remove the label from a group's tasks, or with ``tasks`` their results.

    Returns:
        How many tasks that were.
    """
    return chosen_store(cached).delete_group(group_id, tasks)


# -- the same, from the cache ----------------------------------------------------------
def result_cached(task_id: str, wait: Wait = 0, broker: Broker | None = None) -> Any:
    """Return ``result(task_id, wait, cached=True)``; ``broker`` is not needed any more."""
    return result(task_id, wait, cached=True)


def fetch_cached(
    task_id: str, wait: Wait = 0, broker: Broker | None = None
) -> Record | None:
    """Return ``fetch(task_id, wait, cached=True)``."""
    return fetch(task_id, wait, cached=True)


def delete_cached(task_id: str, broker: Broker | None = None) -> bool:
    """Return ``delete(task_id, cached=True)``."""
    return delete(task_id, cached=True)


def result_group_cached(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    broker: Broker | None = None,
) -> list[Any]:
    """Return ``result_group(..., cached=True)``."""
    return result_group(group_id, failures, wait, count, cached=True)


def fetch_group_cached(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    broker: Broker | None = None,
) -> list[Record]:
    """Return ``fetch_group(..., cached=True)``."""
    return fetch_group(group_id, failures, wait, count, cached=True)


def count_group_cached(
    group_id: str, failures: bool = False, broker: Broker | None = None
) -> int:
    """Return ``count_group(..., cached=True)``."""
    return count_group(group_id, failures, cached=True)


def delete_group_cached(
    group_id: str, tasks: bool = True, broker: Broker | None = None
) -> int:
    """Forget the cached results of a group; return how many they were."""
    return delete_group(group_id, tasks, cached=True)


# compose needs the functions above, and people look for these names here
from .compose import AsyncTask, Chain, Iter, async_chain, async_iter  # noqa: E402
