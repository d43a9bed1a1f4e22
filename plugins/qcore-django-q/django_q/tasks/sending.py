"""``async_task``: from a call with the options of django-q to a package that is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from qcore.envelope import new_id
from qcore.runtime import current
from qcore.tasks.enqueueing import dispatch

from ..conf import logger
from ..humanhash import humanize
from ..packages import OPTIONS, task_of
from ..signals import Quiet, announce
from ..signing import bytes_of

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

    from ..signing import text_of

    task = msgspec.structs.replace(task, queue=broker.list_key or task.queue)
    broker.enqueue(text_of(current.signer.sign(task)))


def _log_enqueued(queue: str, name: str) -> None:
    logger.info("Enqueued [%s] %s", queue, name)


def _sync(pack: str) -> str:
    """Run a signed task here, and return its id."""
    task = current.signer.verify(bytes_of(pack))
    dispatch([task], {"sync": True})
    return task.id
