"""The class that django-q has for MongoDB, by its name."""

from __future__ import annotations

from . import CurrentBroker


class Mongo(CurrentBroker):
    """The broker that the project selects; ``broker_class`` may name this class."""
