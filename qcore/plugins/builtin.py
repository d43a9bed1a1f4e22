"""What comes with the core, registered through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..conf.setting import Setting
from ..hookspecs import hookimpl
from ..signals import SENDER, post_execute_in_worker, pre_execute
from ..tasks.functions import resolve
from .provider import Provider

if TYPE_CHECKING:
    from ..envelope import Task


@hookimpl
def qcore_brokers() -> list[Provider]:
    return [Provider("memory", "qcore.brokers.memory:MemoryBroker", ("memory",))]


@hookimpl
def qcore_settings() -> list[Setting]:
    return [
        Setting(
            "memory",
            dict[str, Any] | None,
            "Queue in the memory of one process, for tests: {} selects it.",
            expects="an empty dict or None",
            maximum=0,
            group="broker",
        )
    ]


@hookimpl
def qcore_result_stores() -> list[Provider]:
    return [
        Provider("orm", "qcore.results.orm:OrmStore"),
        Provider("cache", "qcore.results.cache:CacheStore"),
        Provider("memory", "qcore.results.memory:MemoryStore"),
    ]


@hookimpl
def qcore_cache_backends() -> list[Provider]:
    return [Provider("django", "qcore.caches.django:DjangoCache")]


@hookimpl
def qcore_schedulers() -> list[Provider]:
    return [Provider("orm", "qcore.schedules.orm:OrmScheduler")]


@hookimpl
def qcore_error_reporters() -> list[Provider]:
    return [Provider("log", "qcore.reporters.log:LogReporter")]


@hookimpl(trylast=True)
def qcore_run_hook(call: Callable[[], Any]) -> Any:
    """Call the hook; plugins wrap this."""
    return call()


@hookimpl(trylast=True)
def qcore_run_task(task: Task, call: Callable[[], Any]) -> Any:
    """Run the task between the two signals of a worker; plugins wrap this."""
    if not (pre_execute.receivers or post_execute_in_worker.receivers):
        return call()
    func = resolve(task.func)
    pre_execute.send_robust(sender=SENDER, func=func, task=task)
    error: BaseException | None = None
    value = None
    try:
        value = call()
        return value
    except BaseException as caught:
        error = caught
        raise
    finally:
        post_execute_in_worker.send_robust(
            sender=SENDER, func=func, task=task, error=error, result=value
        )
