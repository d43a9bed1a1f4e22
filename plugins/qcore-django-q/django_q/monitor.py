"""The monitor, for tests that run in one process: from a queue into the result store.

What watches clusters is in ``monitor_terminal``; in django-q 1.3 it was here, so its names
lead there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from qcore.envelope import Attempt, Outcome, Result
from qcore.results.routed import is_saved
from qcore.runtime import current
from qcore.serializers import get_serializer
from qcore.tasks.calls import next_link
from qcore.tasks.follow_up import run_hook

from .brokers import Broker, get_broker
from .monitor_terminal import get_ids, info, memory
from .packages import task_of
from .signals import post_execute, result_dict
from .signing import text_of
from .status import Stat, Status
from .work import STOP, Done

__all__ = [
    "Stat",
    "Status",
    "get_ids",
    "info",
    "memory",
    "monitor",
    "save_cached",
    "save_task",
]


def monitor(result_queue: Any, broker: Broker | None = None) -> None:
    """Store the results of a queue until ``"STOP"`` comes.

    Args:
        result_queue: as ``worker`` has filled it.
        broker: where the tasks are acknowledged; None means the project's own.
    """
    broker = broker or get_broker()
    while (done := result_queue.get()) != STOP:
        _settle(done, broker)


def save_task(task: Mapping[str, Any], broker: Broker | None = None) -> None:
    """Store how a task has ended, and send the next link of its chain.

    Each call is one more attempt. The first success stays, whatever comes later.

    Args:
        task: its dictionary, with ``success``, ``result``, ``started`` and ``stopped``.
            With ``cached`` its result goes to the cache.
        broker: where a task is acknowledged that has no attempt left; None means the
            project's own.
    """
    broker = broker or get_broker()
    result = _result_of(task)
    if not is_saved(result, current.conf):
        return
    _save(result)
    _send_next(result, broker)
    limit = current.conf.max_attempts
    if limit and result.attempt >= limit and task.get("ack_id"):
        broker.acknowledge(task["ack_id"])


#: The route of a result says whether it goes to the cache.
save_cached = save_task


def _result_of(task: Mapping[str, Any]) -> Result:
    made = task_of(task)
    before = current.results.fetch(made.id)
    attempt = before.attempt_count + 1 if before is not None else 1
    started, stopped = (_seconds(task[name]) for name in ("started", "stopped"))
    if task["success"]:
        value = get_serializer(made.content).dumps(task["result"])
        ended = Attempt(Outcome.SUCCESS, value, made.content, started, stopped)
    else:
        text = str(task["result"])
        ended = Attempt.failed(Outcome.FAILURE, text, started, stopped)
    return ended.result(made, attempt)


def _seconds(moment: dt.datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, dt.datetime) else float(moment)


def _save(result: Result) -> None:
    task = result.task
    store = current.results.part(current.results.route(task))
    store.save([result])
    store.acknowledged([task.id])
    if task.iter_count is not None and task.group is not None:
        store.collate(task.group, task.iter_count)
    store.tidy()


def _send_next(result: Result, broker: Broker) -> None:
    """Send the next link of a chain, whose links are in the package of the last one."""
    if result.success and (following := next_link(result.task, result)) is not None:
        broker.enqueue(text_of(current.signer.sign(following)))


def _settle(done: Done, broker: Broker) -> None:
    result, task = done.result, done.result.task
    if is_saved(result, current.conf):
        _save(result)
    _send_next(result, broker)
    if done.ack_id is not None:
        broker.acknowledge(done.ack_id)
    if task.hook is not None:
        run_hook(result)
    if post_execute.receivers:
        post_execute.send_robust(sender="django_q", task=result_dict(result))
