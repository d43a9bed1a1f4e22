"""Brokers: the contract (``base``) and the broker of one process (``memory``).

``get_broker()`` is the documented way to a broker of the current project.
"""

from __future__ import annotations

from .base import Broker

__all__ = ["Broker", "get_broker"]


def get_broker(queue: str | None = None) -> Broker:
    """Return this thread's broker for a queue.

    Args:
        queue: None means the project's own queue (``Q_CLUSTER['name']``).

    Raises:
        ConfigError, PluginError: the settings name no usable broker.
    """
    from ..runtime import current

    return current.broker(queue)
