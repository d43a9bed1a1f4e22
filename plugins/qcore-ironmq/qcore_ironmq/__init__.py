"""IronMQ broker for qcore."""

from __future__ import annotations

from qcore.hookspecs import hookimpl
from qcore.plugins import Provider


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; iron-mq is imported when it is first used."""
    return [Provider("ironmq", "qcore_ironmq.broker:IronMQBroker", claims=("iron_mq",))]
