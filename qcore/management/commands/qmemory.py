"""``manage.py qmemory`` is ``qcore memory``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...cli import Verb, memory
from ..verb import VerbCommand

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(VerbCommand):
    """Show the memory of every process; the same as: qcore memory."""

    help = "Show the memory of every process; the same as: qcore memory."
    verb: Verb = memory

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the verb, and --workers of django-q."""
        super().add_arguments(parser)
        parser.add_argument(
            "--workers", action="store_true", help="accepted: workers are always shown"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what the verb prints."""
        options.pop("workers", None)
        super().handle(*args, **options)
