"""A task that is sent, as Sentry sees it: a span, whose trace goes on where the task runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sentry_sdk
from sentry_sdk.tracing_utils import has_tracing_enabled

from .headers import outgoing
from .messaging import data_of

if TYPE_CHECKING:
    from qcore import NewTask

#: The op of the span, a name of Sentry's module for queues.
_OP = "queue.publish"


def publish(tasks: Sequence[NewTask]) -> None:
    """Record new tasks as spans of what runs here, and give each the context of its trace."""
    if not has_tracing_enabled(sentry_sdk.get_client().options):
        return
    if sentry_sdk.get_current_span() is None:
        # a span without a transaction is never sent; the trace goes on all the same
        for new in tasks:
            _take_along(new)
        return
    for new in tasks:
        task = new.task
        with sentry_sdk.start_span(op=_OP, name=task.func) as span:
            for key, value in data_of(task).items():
                span.set_data(key, value)
            _take_along(new)


def _take_along(new: NewTask) -> None:
    new.change(headers={**(new.task.headers or {}), **outgoing()})
