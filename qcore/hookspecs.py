"""Every hook that a plugin can implement. This file is the contract; it is short.

A plugin is a module named by an entry point in the group ``qcore``::

    from qcore import Provider, hookimpl

    @hookimpl
    def qcore_brokers():
        return [Provider("sqs", "qcore_sqs.broker:SQSBroker", claims=("sqs",))]

An implementation may take fewer arguments than are listed here. The first six
hooks describe what a plugin can make and which settings it has; nothing of it is
imported until it is used. ``qcore_run_task`` wraps every execution, and
``qcore_run_hook`` every task hook. The rest are observers: each is called alone, an
exception in one is logged with the plugin's name and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .conf import Conf, Setting
    from .envelope import Result, Task
    from .plugins import Provider

PROJECT = "qcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def qcore_brokers() -> list[Provider]:  # type: ignore[empty-body]
    """Return the brokers of this plugin: subclasses of ``qcore.brokers.base.Broker``."""


@hookspec
def qcore_error_reporters() -> list[Provider]:  # type: ignore[empty-body]
    """Return the error reporters: ``qcore.reporters.base.ErrorReporter``."""


@hookspec
def qcore_cache_backends() -> list[Provider]:  # type: ignore[empty-body]
    """Return the cache backends: ``qcore.caches.base.CacheBackend``."""


@hookspec
def qcore_schedulers() -> list[Provider]:  # type: ignore[empty-body]
    """Return the schedulers: ``qcore.schedules.base.Scheduler``."""


@hookspec
def qcore_result_stores() -> list[Provider]:  # type: ignore[empty-body]
    """Return the result stores: ``qcore.results.base.ResultStore``."""


@hookspec
def qcore_settings() -> list[Setting]:  # type: ignore[empty-body]
    """Return the keys of ``Q_CLUSTER`` that this plugin reads, each a ``qcore.Setting``.

    qcore checks them with its own settings, shows them in ``qcore info --config``, and
    passes them to the plugin in ``conf.options``: the value of the project, or the default.
    """


@hookspec(firstresult=True)
def qcore_run_task(task: Task, call: Callable[[], Any]) -> Any:
    """Run one task and return its value; runs in a worker, or where ``sync`` calls.

    The default is ``call()``. Middleware wraps it with ``@hookimpl(wrapper=True)``:
    what comes before the ``yield`` runs before the task, its value is the
    result of the ``yield``, and an exception of the task is raised there.
    """


@hookspec(firstresult=True)
def qcore_run_hook(task: Task, call: Callable[[], Any]) -> Any:
    """Call the hook of a finished task; runs where the task ran, after its result is stored.

    Wrap it like ``qcore_run_task``. An exception of the hook is raised at the ``yield``
    and logged after that.
    """


@hookspec
def qcore_process_started(role: str, conf: Conf) -> None:
    """Observe that a process has begun: "sentinel", "dispatcher" or "worker"."""


@hookspec
def qcore_process_stopping(role: str, conf: Conf) -> None:
    """Observe that a process is about to end in order; runs in that process."""


@hookspec
def qcore_task_enqueued(task: Task) -> None:
    """Observe, in the producer, that the broker has taken a task."""


@hookspec
def qcore_results_recorded(results: Sequence[Result]) -> None:
    """Observe, in the dispatcher, that a batch of results is stored."""


@hookspec
def qcore_checks(conf: Conf) -> list[Any]:  # type: ignore[empty-body]
    """Return Django check messages about this plugin's own settings."""
