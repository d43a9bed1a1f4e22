"""The class that django-q has for Amazon SQS, by its name."""

from __future__ import annotations

from . import CurrentBroker


class Sqs(CurrentBroker):
    """The broker that the project selects; ``broker_class`` may name this class."""
