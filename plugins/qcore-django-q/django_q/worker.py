"""The worker, for tests that run in one process: from a queue into another."""

from __future__ import annotations

import os
import socket
from typing import Any

from qcore.tasks.execute import execute

from .work import STOP, Done


def worker(
    task_queue: Any, result_queue: Any, timer: Any = None, timeout: Any = None
) -> None:
    """Run the tasks of a queue until ``"STOP"`` comes.

    Args:
        task_queue: as ``pusher`` has filled it.
        result_queue: takes the results.
        timer: accepted; qcore keeps the time by itself.
        timeout: accepted; the settings and the task say it.
    """
    origin = f"{socket.gethostname()}:{os.getpid()}"
    while (order := task_queue.get()) != STOP:
        attempt, _error = execute(order.task, 1, origin)
        result_queue.put(Done(attempt.result(order.task, 1), order.ack_id))
    if timer is not None:
        timer.value = -1
