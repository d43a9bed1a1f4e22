"""``manage.py qmemory``, with the option ``--workers`` of django-q."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcore.management.commands.qmemory import Command as QcoreCommand

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(QcoreCommand):
    """The command of qcore, which shows every worker in any case."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of qcore, and --workers."""
        super().add_arguments(parser)
        parser.add_argument(
            "--workers", action="store_true", help="accepted: workers are always shown"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what qcore prints."""
        options.pop("workers", None)
        super().handle(*args, **options)
