"""Disque broker for qcore: several nodes, failover, leases kept by WORKING."""

from __future__ import annotations

from qcore import Provider, Setting, hookimpl


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


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the broker reads of Q_CLUSTER."""
    return [
        Setting(
            "disque_nodes",
            tuple[str, ...] | None,
            "Disque: the nodes, one of which is chosen at random.",
            minimum=1,
            check=all,  # none of them is empty
            expects="a list of 'host:port' or None",
            group="broker",
        ),
        Setting(
            "disque_auth",
            str | None,
            "Disque: the password of the nodes.",
            expects="a text or None",
            secret=True,
            belongs_to="disque_nodes",
            group="broker",
        ),
        Setting(
            "disque_replicate",
            int | None,
            "Disque: nodes that must have a copy of a task before it counts as sent. None:"
            " three, and fewer while fewer nodes can be reached.",
            minimum=1,
            maximum=65_535,
            expects="an int of 1 to 65535 or None",
            belongs_to="disque_nodes",
            group="broker",
        ),
    ]
