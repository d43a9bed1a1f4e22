"""MongoDB broker for qcore: a collection per queue, leases by the server's clock."""

from __future__ import annotations

from qcore.hookspecs import hookimpl
from qcore.plugins import Provider


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; pymongo is imported when it is first used."""
    return [Provider("mongo", "qcore_mongo.broker:MongoBroker", claims=("mongo",))]
