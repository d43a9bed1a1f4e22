"""The class that django-q has for the Django ORM, by its name."""

from __future__ import annotations

from . import CurrentBroker


class ORM(CurrentBroker):
    """The broker that the project selects; ``broker_class`` may name this class."""
