"""MongoDB broker for qcore: a collection per queue, leases by the server's clock."""

from __future__ import annotations

from typing import Any

from qcore import Provider, Setting, hookimpl


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; pymongo is imported when it is first used."""
    return [Provider("mongo", "qcore_mongo.broker:MongoBroker", claims=("mongo",))]


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the broker reads of Q_CLUSTER."""
    return [
        Setting(
            "mongo",
            dict[str, Any] | None,
            "MongoDB: arguments of MongoClient; a URI goes under 'host'.",
            expects="a dict or None",
            secret=True,
            group="broker",
        ),
        Setting(
            "mongo_db",
            str | None,
            "MongoDB database of the queues; None takes that of the URI, or else"
            " 'django-q'.",
            minimum=1,
            expects="the name of a database or None",
            belongs_to="mongo",
            group="broker",
        ),
    ]
