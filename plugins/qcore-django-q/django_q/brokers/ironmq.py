"""The class that django-q has for IronMQ, by its name."""

from __future__ import annotations

from . import CurrentBroker


class IronMQBroker(CurrentBroker):
    """The broker that the project selects; ``broker_class`` may name this class."""
