"""qcore: a distributed task queue for Django in which the queue is a plugin.

A map of the package, from the bottom up; a module imports only from its own line and from
the lines above it::

    clock errors findings masking printable logs processes health        words
    conf backoff envelope features running settled serializers signing hookspecs
    pages                                                                the dashboard's
    plugins runtime ledger_interface signals status tasks                the API
    brokers results caches reporters schedules                           the contracts
    testing                                                              the author's kit
    engine                                                               the processes
    models ledger listing backend error_pages                            Django adapters
    cluster cli apps admin checks doctor management monitor demo bench   composition

Plugin authors need five names, and users need ``task`` and ``qcore.tasks``::

    from qcore import Broker, Delivery, Provider, Setting, hookimpl
    from qcore import task
    from qcore.tasks import async_task, schedule, result

The names below are loaded on first use, so that ``import qcore`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "2.0.0"

# public name -> the module that defines it
_PUBLIC = {
    "RUN": "features",
    "RUN_HOLDING": "features",
    "Admission": "features",
    "Backoff": "backoff",
    "Broker": "brokers.base",
    "CacheBackend": "caches.base",
    "Claim": "features",
    "Conf": "conf",
    "Delivery": "envelope",
    "Discard": "errors",
    "Drop": "features",
    "ErrorReporter": "reporters.base",
    "Later": "features",
    "LeaseLost": "errors",
    "NewTask": "tasks.new_tasks",
    "Park": "features",
    "Provider": "plugins.provider",
    "QcoreError": "errors",
    "Release": "features",
    "Result": "envelope",
    "ResultStore": "results.base",
    "Retry": "errors",
    "Scheduler": "schedules.base",
    "Setting": "conf.setting",
    "Settled": "settled",
    "Snooze": "errors",
    "Suspend": "errors",
    "Task": "envelope",
    "TaskOption": "features",
    "async_task": "tasks",
    "async_task_many": "tasks",
    "hookimpl": "hookspecs",
    "result": "tasks",
    "schedule": "tasks",
    "task": "tasks.decorator",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604 - the keys are strings

if TYPE_CHECKING:
    from .backoff import Backoff as Backoff
    from .brokers.base import Broker as Broker
    from .caches.base import CacheBackend as CacheBackend
    from .conf import Conf as Conf
    from .conf.setting import Setting as Setting
    from .envelope import Delivery as Delivery
    from .envelope import Result as Result
    from .envelope import Task as Task
    from .errors import Discard as Discard
    from .errors import LeaseLost as LeaseLost
    from .errors import QcoreError as QcoreError
    from .errors import Retry as Retry
    from .errors import Snooze as Snooze
    from .errors import Suspend as Suspend
    from .features import RUN as RUN
    from .features import RUN_HOLDING as RUN_HOLDING
    from .features import Admission as Admission
    from .features import Claim as Claim
    from .features import Drop as Drop
    from .features import Later as Later
    from .features import Park as Park
    from .features import Release as Release
    from .features import TaskOption as TaskOption
    from .hookspecs import hookimpl as hookimpl
    from .plugins.provider import Provider as Provider
    from .reporters.base import ErrorReporter as ErrorReporter
    from .results.base import ResultStore as ResultStore
    from .schedules.base import Scheduler as Scheduler
    from .settled import Settled as Settled
    from .tasks import async_task as async_task
    from .tasks import async_task_many as async_task_many
    from .tasks import result as result
    from .tasks import schedule as schedule
    from .tasks.decorator import task as task
    from .tasks.new_tasks import NewTask as NewTask


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'qcore' has no attribute {name!r}")
    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
