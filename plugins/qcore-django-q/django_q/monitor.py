"""The monitor, for tests that run in one process: from a queue into the result store.

What watches clusters is in ``monitor_terminal``; in django-q 1.3 it was here, so its names
lead there.
"""

from __future__ import annotations

from typing import Any

from qcore.results.routed import is_saved
from qcore.runtime import current
from qcore.tasks.calls import next_link
from qcore.tasks.follow_up import run_hook

from .brokers import Broker, get_broker
from .monitor_terminal import get_ids, info, memory
from .signals import post_execute, result_dict
from .signing import text_of
from .status import Stat, Status
from .work import STOP, Done

__all__ = ["Stat", "Status", "get_ids", "info", "memory", "monitor"]


def monitor(result_queue: Any, broker: Broker | None = None) -> None:
    """Store the results of a queue until ``"STOP"`` comes.

    Args:
        result_queue: as ``worker`` has filled it.
        broker: where the tasks are acknowledged; None means the project's own.
    """
    broker = broker or get_broker()
    while (done := result_queue.get()) != STOP:
        _settle(done, broker)


def _settle(done: Done, broker: Broker) -> None:
    result, task = done.result, done.result.task
    if is_saved(result, current.conf):
        store = current.results.part(current.results.route(task))
        store.save([result])
        store.acknowledged([task.id])
        if task.iter_count is not None and task.group is not None:
            store.collate(task.group, task.iter_count)
        store.tidy()
    if result.success and (following := next_link(task, result)) is not None:
        broker.enqueue(text_of(current.signer.sign(following)))
    if done.ack_id is not None:
        broker.acknowledge(done.ack_id)
    if task.hook is not None:
        run_hook(result)
    if post_execute.receivers:
        post_execute.send_robust(sender="django_q", task=result_dict(result))
