"""A Django command made of a verb of the command line: one implementation, two doors."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from ..cli import Verb
from ..cli.exits import FAILURE, OK, code_of
from ..cli.project import explain
from ..errors import QcoreError


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
        except QcoreError as error:
            raise CommandError(str(error), returncode=code_of(error)) from error
        except Error as error:
            raise CommandError(explain(error), returncode=FAILURE) from error

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv)
        sys.exit(self.code)
