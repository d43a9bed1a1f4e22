"""What Sentry's module for queues knows of a task, where it is sent and where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcore.envelope import Task


def data_of(task: Task) -> dict[str, Any]:
    """Return the data of a span about a task, under the names that Sentry expects."""
    return {
        "messaging.system": "qcore",
        "messaging.message.id": task.id,
        "messaging.destination.name": task.queue,
        "messaging.message.body.size": len(task.body),
    }
