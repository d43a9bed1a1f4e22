"""Disque broker for qcore: several nodes, failover, leases kept by WORKING."""

from __future__ import annotations

from qcore.hookspecs import hookimpl
from qcore.plugins import Provider


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; redis-py is imported when it is first used."""
    return [
        Provider(
            "disque",
            "qcore_disque.broker:DisqueBroker",
            claims=("disque_nodes",),
        )
    ]
