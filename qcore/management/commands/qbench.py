"""``manage.py qbench`` is ``qcore bench``."""

from __future__ import annotations

from ...cli import Verb, bench
from ..verb import VerbCommand


class Command(VerbCommand):
    """Measure what broker, database and machine can do; the same as: qcore bench."""

    help = "Measure what broker, database and machine can do; the same as: qcore bench."
    verb: Verb = bench
