"""A running task as Sentry sees it: a scope, a span where it traces, a check-in if it is scheduled."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.scope import Scope, use_isolation_scope
from sentry_sdk.tracing import TransactionSource
from sentry_sdk.tracing_utils import has_tracing_enabled

from qcore.tasks import current_task

from .check_ins import checked_in
from .headers import incoming
from .messaging import data_of

if TYPE_CHECKING:
    from qcore.envelope import Task

#: The op of the span, a name of Sentry's module for queues.
_OP = "queue.process"


class _Failed(threading.local):
    """The scope of the task that has failed last in this thread, until it is reported."""

    task_id: str = ""
    scope: Scope | None = None


_failed = _Failed()


@contextmanager
def running(task: Task) -> Generator[None]:
    """Give a task an isolation scope; breadcrumbs and tags of other tasks are not in it.

    A failure is reported after the task's middleware has ended, so the scope of a
    failed task is kept until then.
    """
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.set_transaction_name(task.func, TransactionSource.TASK)
        try:
            with checked_in(task), _span(task):
                yield
        except BaseException:
            _failed.task_id, _failed.scope = task.id, scope
            raise


@contextmanager
def hooked(task: Task) -> Generator[None]:
    """Give the hook of a task an isolation scope, which ends with it."""
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.set_transaction_name(task.hook or task.func, TransactionSource.TASK)
        yield


def scope_of(task_id: str) -> AbstractContextManager[Any]:
    """Return a context in which a failed task's scope is in force, once."""
    scope, mine = _failed.scope, _failed.task_id == task_id
    _failed.task_id, _failed.scope = "", None
    return use_isolation_scope(scope) if mine and scope else nullcontext()


def _span(task: Task) -> AbstractContextManager[Any]:
    """Return a span around the task, where the project traces at all."""
    if not has_tracing_enabled(sentry_sdk.get_client().options):
        return nullcontext()
    own = current_task()
    data = {
        **data_of(task),
        "messaging.message.retry.count": 0 if own is None else own.attempt - 1,
        # milliseconds; two clocks may differ, but nothing is received before it is sent
        "messaging.message.receive.latency": max(
            0, (time.time() - task.created) * 1000
        ),
    }
    if sentry_sdk.get_current_span() is not None:  # `sync`, inside a request
        span = sentry_sdk.start_span(op=_OP, name=task.func)
    else:
        # the trace of whoever has sent the task goes on
        span = sentry_sdk.start_transaction(
            sentry_sdk.continue_trace(
                incoming(task), op=_OP, name=task.func, source=TransactionSource.TASK
            )
        )
    for key, value in data.items():
        span.set_data(key, value)
    return span
