"""``django_q.tasks``: the calls of django-q, done by qcore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import IntegrityError
from django.utils import timezone

from qcore import tasks as ours
from qcore.envelope import new_id
from qcore.errors import EnqueueError
from qcore.runtime import current
from qcore.tasks.enqueueing import dispatch
from qcore.tasks.waiting import Wait

from .brokers import Broker, get_broker
from .conf import Conf, logger
from .humanhash import humanize, uuid
from .models import Schedule, Task, as_task
from .packages import OPTIONS, task_of
from .queues import Queue
from .signals import Quiet, announce, pre_enqueue
from .signing import SignedPackage, bytes_of

__all__ = [
    "AsyncTask",
    "Broker",
    "Chain",
    "Conf",
    "Iter",
    "Queue",
    "Schedule",
    "SignedPackage",
    "Task",
    "async_chain",
    "async_iter",
    "async_task",
    "count_group",
    "count_group_cached",
    "delete_cached",
    "delete_group",
    "delete_group_cached",
    "fetch",
    "fetch_cached",
    "fetch_group",
    "fetch_group_cached",
    "get_broker",
    "logger",
    "pre_enqueue",
    "queue_size",
    "result",
    "result_cached",
    "result_group",
    "result_group_cached",
    "schedule",
    "uuid",
]

Function = Callable[..., Any] | str

#: Keywords that are options of the task, wherever they stand.
_OPTIONS = (
    *OPTIONS,
    "broker",
    "chain",
    "iter_count",
    "iter_cached",
)

#: Options that qcore has besides; they count in ``q_options`` only.
_FURTHER = ("max_attempts", "delay", "commit")

_UNSET: Any = object()


def async_task(func: Function, *args: Any, **kwargs: Any) -> str:
    """Send a function to the cluster and return the id of the task.

    Args:
        func: a function of a module, or its dotted path.
        args: its positional arguments.
        kwargs: its keyword arguments, and the options of django-q: hook, group, save,
            sync, cached, ack_failure, timeout, cluster, broker, task_name and q_options.
            ``task_id`` chooses the id: 32 hexadecimal digits.

    Raises:
        EnqueueError: the function or an argument cannot be sent.
        BrokerUnavailable: the queue cannot be reached.
    """
    keywords = dict(kwargs)
    given = keywords.pop("q_options", None) or {}
    package, further = _package(func, args, keywords, dict(given))
    broker = package.pop("broker", None)
    announce(package)
    with Quiet():
        task = task_of(package)
    if broker is not None and not package.get("sync"):
        _send_by(broker, task)
    else:
        options = {"sync": True} if package.get("sync") else {}
        dispatch([task], {**options, **further})
    _log_enqueued(task.queue, task.name)
    return task.id


def _package(
    func: Function,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    given: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the dictionary of a task, and the options that only qcore knows."""
    task_id = given.pop("task_id", None) or keywords.pop("task_id", None) or new_id()
    name = (
        keywords.pop("task_name", None)
        or given.pop("task_name", None)
        or humanize(task_id)
    )
    package: dict[str, Any] = {"id": task_id, "name": name, "func": func, "args": args}
    for option in _OPTIONS:
        if option in given:
            package[option] = given.pop(option)
        elif option in keywords:
            package[option] = keywords.pop(option)
    further = {option: given.pop(option) for option in _FURTHER if option in given}
    if given:
        logger.warning(
            "q_options has %s, which no task knows; it is left out",
            ", ".join(map(repr, given)),
        )
    conf = current.conf
    if conf.cached:
        package.setdefault("cached", conf.cached)
    if conf.sync:
        package.setdefault("sync", True)
    if conf.ack_failures:
        package.setdefault("ack_failure", True)
    package["kwargs"] = keywords
    package["started"] = timezone.now()
    return package, further


def _send_by(broker: Any, task: Any) -> None:
    """Send a task through a broker object that the caller has given."""
    from qcore.brokers import Broker as QcoreBroker

    if isinstance(broker, QcoreBroker):
        broker.enqueue(current.signer.sign(task))
        return
    import msgspec

    from .signing import text_of

    task = msgspec.structs.replace(task, queue=broker.list_key or task.queue)
    broker.enqueue(text_of(current.signer.sign(task)))


def _log_enqueued(queue: str, name: str) -> None:
    logger.info("Enqueued [%s] %s", queue, name)


def schedule(func: Function, *args: Any, **kwargs: Any) -> Schedule:
    """Store a schedule and return it.

    Args:
        func: the dotted path of a function, or the function.
        args: its positional arguments.
        kwargs: its keyword arguments, and name, hook, schedule_type, minutes, repeats,
            next_run, cron, cluster, intended_date_kwarg.

    Raises:
        IntegrityError: there is a schedule of that name.
        ValidationError: a part of it is wrong.
    """
    from qcore.tasks.functions import path_of

    name = kwargs.pop("name", None)
    columns: dict[str, Any] = {
        column: kwargs.pop(column)
        for column in (
            *("hook", "schedule_type", "minutes", "repeats", "next_run", "cron"),
            *("cluster", "intended_date_kwarg"),
        )
        if kwargs.get(column, _UNSET) is not _UNSET
    }
    columns = {key: value for key, value in columns.items() if value is not None}
    if callable(columns.get("hook")):
        columns["hook"] = path_of(columns["hook"])
    if name and Schedule.objects.filter(name=name).exists():
        raise IntegrityError(f"a schedule of the name {name!r} exists already.")
    row = Schedule(
        name=name,
        func=func if isinstance(func, str) else path_of(func),
        args=args,
        kwargs=kwargs,
        **columns,
    )
    row.full_clean()
    row.save()
    return row


# -- look-ups ------------------------------------------------------------------------------
def _cached(value: Any) -> Any:
    return Conf.CACHED if value is _UNSET else value


def result(task_id: str, wait: Wait = 0, cached: Any = _UNSET) -> Any:
    """Return the result of a task, or None; see ``qcore.tasks.result``."""
    return ours.result(task_id, wait, _cached(cached))


def result_cached(task_id: str, wait: Wait = 0, broker: Any = None) -> Any:
    """Return a result that the cache keeps, or None."""
    return ours.result(task_id, wait, cached=True)


def fetch(task_id: str, wait: Wait = 0, cached: Any = _UNSET) -> Task | None:
    """Return a finished task, or None; see ``qcore.tasks.fetch``."""
    return as_task(ours.fetch(task_id, wait, _cached(cached)))


def fetch_cached(task_id: str, wait: Wait = 0, broker: Any = None) -> Task | None:
    """Return a finished task that the cache keeps, or None."""
    return as_task(ours.fetch(task_id, wait, cached=True))


def result_group(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    cached: Any = _UNSET,
) -> list[Any] | None:
    """Return the results of a group; None where it is empty."""
    waits = _waits(wait, count)
    return (
        ours.result_group(group_id, failures, waits, count or None, _cached(cached))
        or None
    )


def result_group_cached(
    group_id: str,
    failures: bool = False,
    wait: Wait = 0,
    count: int | None = None,
    broker: Any = None,
) -> list[Any] | None:
    """Return the results of a group that the cache keeps; None where it is empty."""
    return result_group(group_id, failures, wait, count, cached=True)


def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    cached: Any = _UNSET,
) -> Any:
    """Return the finished tasks of a group; None where it is empty."""
    waits, cached = _waits(wait, count), _cached(cached)
    found = ours.fetch_group(group_id, failures, waits, count or None, cached)
    if not found:
        return None
    if cached:
        return [as_task(one) for one in found]
    return Task.get_task_group(group_id, failures)


def fetch_group_cached(
    group_id: str,
    failures: bool = True,
    wait: Wait = 0,
    count: int | None = None,
    broker: Any = None,
) -> Any:
    """Return the finished tasks of a group that the cache keeps."""
    return fetch_group(group_id, failures, wait, count, cached=True)


def _waits(wait: Wait, count: int | None) -> Wait:
    """In django-q, a count without a time waits for ever."""
    return -1 if count and not wait else wait


def count_group(group_id: str, failures: bool = False, cached: Any = _UNSET) -> Any:
    """Count the finished tasks of a group; with ``failures`` only the failed ones.

    Of a group that the cache does not have: None.
    """
    cached = _cached(cached)
    found = ours.count_group(group_id, failures, cached)
    is_unknown = cached and not found and not ours.count_group(group_id, False, cached)
    return None if is_unknown else found


def count_group_cached(
    group_id: str, failures: bool = False, broker: Any = None
) -> Any:
    """Count the finished tasks of a group that the cache keeps."""
    return count_group(group_id, failures, cached=True)


def delete_group(group_id: str, tasks: bool = False, cached: Any = _UNSET) -> Any:
    """Take the label off a group, or with ``tasks`` delete its tasks."""
    if _cached(cached):
        return delete_group_cached(group_id)
    return Task.delete_group(group_id, tasks)


def delete_group_cached(group_id: str, broker: Any = None) -> Any:
    """Forget a group that the cache keeps."""
    return ours.delete_group(group_id, True, cached=True)


def delete_cached(task_id: str, broker: Any = None) -> bool:
    """Forget a task that the cache keeps."""
    return ours.delete(task_id, cached=True)


def queue_size(broker: Any = None) -> Any:
    """Return how many tasks wait in the broker."""
    return (broker or get_broker()).queue_size()


# -- many tasks ----------------------------------------------------------------------------
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


def async_chain(
    chain: list[Any],
    group: str | None = None,
    cached: Any = _UNSET,
    sync: Any = _UNSET,
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
    if _cached(cached):
        options["cached"] = _cached(cached)
    if Conf.SYNC if sync is _UNSET else sync:
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


class Iter:
    """An ``async_iter`` that is put together call by call."""

    def __init__(
        self,
        func: Function | None = None,
        args: list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        cached: Any = _UNSET,
        sync: Any = _UNSET,
        broker: Any = None,
    ) -> None:
        self.func = func
        self.args = args or []
        self.kwargs = kwargs or {}
        self.id = ""
        self.broker = broker or get_broker()
        self.cached = _cached(cached)
        self.sync = Conf.SYNC if sync is _UNSET else sync
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


class Chain:
    """An ``async_chain`` that is put together link by link."""

    def __init__(
        self,
        chain: list[Any] | None = None,
        group: str | None = None,
        cached: Any = _UNSET,
        sync: Any = _UNSET,
        broker: Any = None,
    ) -> None:
        self.chain = chain or []
        self.group = group or ""
        self.broker = broker
        self.cached = _cached(cached)
        self.sync = Conf.SYNC if sync is _UNSET else sync
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


class AsyncTask:
    """An ``async_task`` whose options are attributes."""

    def __init__(self, func: Function, *args: Any, **kwargs: Any) -> None:
        self.id = ""
        self.started = False
        self.func = func
        self.args = args
        self.kwargs = kwargs

    def _get(self, name: str, default: Any = None) -> Any:
        options = self.kwargs.get("q_options") or {}
        return options.get(name, self.kwargs.get(name, default))

    def _set(self, name: str, value: Any) -> None:
        options = self.kwargs.get("q_options")
        (self.kwargs if options is None else options)[name] = value
        self.started = False

    broker = property(
        lambda self: self._get("broker"),
        lambda self, value: self._set("broker", value),
        doc="The broker that it is sent through.",
    )
    sync = property(
        lambda self: self._get("sync"),
        lambda self, value: self._set("sync", value),
        doc="Whether it runs here.",
    )
    save = property(
        lambda self: self._get("save"),
        lambda self, value: self._set("save", value),
        doc="Whether its success is stored.",
    )
    hook = property(
        lambda self: self._get("hook"),
        lambda self, value: self._set("hook", value),
        doc="What is called with the finished task.",
    )
    group = property(
        lambda self: self._get("group"),
        lambda self, value: self._set("group", value),
        doc="Its label.",
    )
    cached = property(
        lambda self: self._get("cached", Conf.CACHED),
        lambda self, value: self._set("cached", value),
        doc="Whether the cache keeps its result.",
    )

    def run(self) -> str:
        """Send it and return its id."""
        self.id = async_task(self.func, *self.args, **self.kwargs)
        self.started = True
        return self.id

    def result(self, wait: Wait = 0) -> Any:
        """Return its result, or None."""
        return result(self.id, wait=wait, cached=self.cached) if self.started else None

    def fetch(self, wait: Wait = 0) -> Task | None:
        """Return the finished task, or None."""
        return fetch(self.id, wait=wait, cached=self.cached) if self.started else None

    def result_group(
        self, failures: bool = False, wait: Wait = 0, count: int | None = None
    ) -> Any:
        """Return the results of its group, or None."""
        if not self.started or not self.group:
            return None
        return result_group(self.group, failures, wait, count, self.cached)

    def fetch_group(
        self, failures: bool = True, wait: Wait = 0, count: int | None = None
    ) -> Any:
        """Return the finished tasks of its group, or None."""
        if not self.started or not self.group:
            return None
        return fetch_group(self.group, failures, wait, count, self.cached)


def _sync(pack: str) -> str:
    """Run a signed task here, and return its id."""
    task = current.signer.verify(bytes_of(pack))
    dispatch([task], {"sync": True})
    return task.id
