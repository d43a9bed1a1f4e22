"""The context of a trace, as it travels in the headers of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sentry_sdk

if TYPE_CHECKING:
    from qcore.envelope import Task

#: Header of a task -> header of HTTP that sentry_sdk knows. Other plugins may use the name
#: "baggage" for theirs.
_NAMES = {"sentry-trace": "sentry-trace", "sentry-baggage": "baggage"}


def outgoing() -> dict[str, str]:
    """Return the headers of what is sent now."""
    values = {
        "sentry-trace": sentry_sdk.get_traceparent(),
        "sentry-baggage": sentry_sdk.get_baggage(),
    }
    return {name: value for name, value in values.items() if value}


def incoming(task: Task) -> dict[str, str]:
    """Return the headers that came with a task, under the names that sentry_sdk knows."""
    found = task.headers or {}
    return {other: found[own] for own, other in _NAMES.items() if own in found}
