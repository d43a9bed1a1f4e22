"""``manage.py qmemory`` is ``qcore memory``."""

from __future__ import annotations

from ...cli import Verb, memory
from ..verb import VerbCommand


class Command(VerbCommand):
    """Show the memory of every process; the same as: qcore memory."""

    help = "Show the memory of every process; the same as: qcore memory."
    verb: Verb = memory
