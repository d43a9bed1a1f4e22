"""A Django command made of a verb of the command line: one implementation, two doors."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from ..cli import Verb
from ..cli.exits import OK
from ..cli.project import told
from ..errors import QcoreError
from ..printable import printable_lines


class VerbCommand(BaseCommand):
    """Runs ``verb``; its exit code ends the process when started from a shell."""

    verb: Verb
    code = OK
    # The checks of qcore are run by the verb that needs them.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        self.verb.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        # whole lines are written; Django must not add more ends of lines
        self.stdout.ending = ""
        try:
            self.code = self.verb.run(Namespace(**options), cast("TextIO", self.stdout))
        except (Error, QcoreError) as error:
            text, code = told(error)
            raise CommandError(printable_lines(text), returncode=code) from error

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv)
        sys.exit(self.code)
