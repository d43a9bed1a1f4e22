"""Error reporters: they send the failures of tasks to a service."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

#: Packages whose frames lead from a worker to the task's own code, besides plugins.
_ON_THE_WAY = frozenset({"qcore", "pluggy", "asyncio"})

#: Module and function that call the task's function.
_CALLER = ("qcore.tasks.execute", "_timed")

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One failed attempt, as a reporter receives it.

    ``exception`` is None where the attempt left none: a killed worker. ``args`` and
    ``kwargs`` are None unless the setting ``report_args`` asks for them.
    """

    task_id: str
    task_name: str
    func: str
    queue: str
    group: str | None
    attempt: int
    outcome: str  # "failure", "timeout" or "crash"
    message: str  # one line
    worker: str  # "host:pid"
    exception: BaseException | None = None
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None

    def described(self) -> dict[str, Any]:
        """Return which task it is about, to be shown beside its exception.

        Arguments are in it only where they are asked for.
        """
        found: dict[str, Any] = {
            "id": self.task_id,
            "name": self.task_name,
            "function": self.func,
            "cluster": self.queue,
            "group": self.group,
            "attempt": self.attempt,
            "outcome": self.outcome,
            "worker": self.worker,
        }
        if self.args is not None:
            found["args"] = list(self.args)
        if self.kwargs is not None:
            found["kwargs"] = self.kwargs
        return found

    @property
    def exc_info(self) -> ExcInfo | None:
        """The exception as ``sys.exc_info()`` has it, with a traceback of the task alone.

        It begins in the task's own code: what leads there is the same for all tasks,
        and has their arguments in its local variables. None where there is no
        exception.
        """
        if self.exception is None:
            return None
        trace = _from_the_task_on(self.exception.__traceback__)
        return type(self.exception), self.exception, trace


def is_on_the_way(module: str) -> bool:
    """Whether code of that module only leads from a worker to the task's own."""
    package = module.partition(".")[0]
    return package in _ON_THE_WAY or package.startswith("qcore_")


def _from_the_task_on(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without what led to the task; all of it if that is all."""
    whole = trace
    while trace and (_module(trace), trace.tb_frame.f_code.co_name) != _CALLER:
        trace = trace.tb_next  # of the worker, and of middleware
    while trace and is_on_the_way(_module(trace)):
        trace = trace.tb_next  # of what runs a coroutine
    return trace or whole


def _module(trace: TracebackType) -> str:
    return trace.tb_frame.f_globals.get("__name__") or ""


class ErrorReporter:
    """Base class of all error reporters.

    An instance is made with the keywords that stand under its name in
    ``Q_CLUSTER['error_reporter']``: once when a cluster starts, so that wrong options
    are told then, and in each thread of each process that reports. So a service that
    is set up for a whole process is set up by the first instance, and found set up by
    the others.

    What it raises is logged and changes nothing for the task.

    Raises:
        ConfigError: an option is wrong; it is logged once, with secrets masked, and
            nothing is sent to this reporter.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def report(self, report: Report) -> None:
        """Send one failure; returns at once, the sending happens in the background."""
        raise NotImplementedError

    def flush(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until everything is sent; called at the end."""
