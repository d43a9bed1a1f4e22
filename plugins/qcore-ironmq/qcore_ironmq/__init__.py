"""IronMQ broker for qcore."""

from __future__ import annotations

from typing import Any

from qcore import Provider, Setting, hookimpl


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; iron-mq is imported when it is first used."""
    return [Provider("ironmq", "qcore_ironmq.broker:IronMQBroker", claims=("iron_mq",))]


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the broker reads of Q_CLUSTER."""
    return [
        Setting(
            "iron_mq",
            dict[str, Any] | None,
            "IronMQ: arguments of the iron-mq client.",
            expects="a dict or None",
            secret=True,
            group="broker",
        ),
    ]
