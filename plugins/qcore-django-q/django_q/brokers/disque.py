"""The class that django-q has for Disque, by its name."""

from __future__ import annotations

from . import CurrentBroker


class Disque(CurrentBroker):
    """The broker that the project selects; ``broker_class`` may name this class."""
