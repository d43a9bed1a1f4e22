"""``manage.py qinfo``, with the option ``--ids`` of django-q."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcore.management.commands.qinfo import Command as QcoreCommand
from qcore.status import running

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(QcoreCommand):
    """The command of qcore, and the ids of the running clusters."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of qcore, and --ids."""
        super().add_arguments(parser)
        parser.add_argument(
            "--ids", action="store_true", help="print the ids of the running clusters"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the ids, or what qcore prints."""
        if options.pop("ids", False):
            for snapshot in running():
                self.stdout.write(snapshot.cluster)
            return
        super().handle(*args, **options)
