"""Follow-up: what is done for a task after its result is stored.

Runs in: a worker, with the delivery still unacknowledged, so that a killed worker
or cluster repeats it instead of forgetting it.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from ..envelope import Result
from ..errors import TaskStopped
from ..results.moments import moment
from ..runtime import current
from ..serializers import get_serializer
from .admission import is_allowed
from .execute import decode
from .forks import end_if_forked
from .functions import resolve
from .timeouts import soft_timeout

logger = logging.getLogger("qcore.worker")


class HookedTask:
    """What a task hook is given: the finished task, with the attributes of the model.

    ``id name func hook group cluster success outcome attempt_count enqueued started
    stopped`` and, decoded on first use, ``args kwargs result``.
    """

    def __init__(self, result: Result) -> None:
        task = result.task
        self.id = task.id
        self.name = task.name
        self.func = task.func
        self.hook = task.hook
        self.group = task.group
        self.cluster = task.queue
        self.success = result.success
        self.outcome = result.outcome
        self.attempt_count = result.attempt
        self.enqueued = moment(task.created)
        self.started = moment(result.started)
        self.stopped = moment(result.stopped)
        self._result = result

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments of the call."""
        return tuple(decode(self._result.task)[0])

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the call."""
        return decode(self._result.task)[1]

    @property
    def result(self) -> Any:
        """The return value, or the text of the error."""
        return decode_value(self._result.content, self._result.value)

    def time_taken(self) -> float:
        """Return how many seconds the attempt took."""
        return self._result.stopped - self._result.started

    def __str__(self) -> str:
        return self.name or self.id


def decode_value(content: str, value: bytes) -> Any:
    """Return a stored value: of an error its text, else what the serializer makes of it."""
    if content == "text":
        return value.decode(errors="replace")
    return get_serializer(content).loads(value)


def run_hook(result: Result) -> None:
    """Call the hook of a task with the finished task; what it raises is logged.

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
        owner = os.getpid()
        with soft_timeout(current.conf.timeout):
            try:
                current.registry.first(
                    "qcore_run_hook",
                    task=task,
                    call=lambda: hook(HookedTask(result)),
                )
            finally:
                end_if_forked(owner, task)
    except (TaskStopped, KeyboardInterrupt):
        # The hook is repeated by the next cluster, as a task would be. The keyboard
        # interrupts whoever runs tasks inline, with ``sync``.
        raise
    except BaseException:  # the outcome of the task stands, whatever its hook does
        logger.exception("hook %s of %s id=%s failed", task.hook, task.func, task.id)
