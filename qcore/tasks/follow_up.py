"""Follow-up: hook and next link of a task whose result is stored.

Runs in: a worker, with the delivery still unacknowledged, so that a killed worker
or cluster repeats it instead of forgetting it.
"""

from __future__ import annotations

import logging
import os

from ..envelope import Result
from ..errors import TaskCancelled, TaskStopped
from ..results.finished import FinishedTask
from ..runtime import current
from .allowed_tasks import is_allowed
from .forks import end_if_forked
from .functions import resolve
from .timeouts import soft_timeout

logger = logging.getLogger("qcore.worker")


def run_hook(result: Result) -> None:
    """Call the hook of a task with the finished task, and log what the hook raises.

    It has the cluster's ``timeout`` to itself. ``sys.exit`` and ``CancelledError`` are
    exceptions like all others here: a hook that ended its worker would be called again,
    and would take the worker of another task with it.
    """
    task = result.task
    assert task.hook is not None
    if not is_allowed(task.hook, current.conf):
        logger.error(
            "hook %s of %s id=%s is not called: Q_CLUSTER['allowed_tasks'] of this"
            " cluster does not admit it",
            task.hook, task.func, task.id,
        )  # fmt: skip
        return
    try:
        hook = resolve(task.hook)
        finished = FinishedTask(result, current.conf.accept_content)
        owner = os.getpid()
        with soft_timeout(current.conf.timeout):
            try:
                current.registry.first(
                    "qcore_run_hook",
                    task=task,
                    call=lambda: hook(finished),
                )
            finally:
                end_if_forked(owner, task)
    except (TaskStopped, TaskCancelled, KeyboardInterrupt):
        # The hook is repeated by the next cluster, as a task would be. The keyboard
        # interrupts whoever runs tasks inline, with ``sync``.
        raise
    except BaseException:  # the outcome of the task stands, whatever its hook does
        logger.exception("hook %s of %s id=%s failed", task.hook, task.func, task.id)
