"""A small broker that keeps its queue in a folder."""

from __future__ import annotations

from qcore import Provider, hookimpl


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Describe the broker; its module is imported when a project selects it."""
    target = "qcore_example.broker:ExampleBroker"
    return [Provider("example", target, claims=("example",))]
