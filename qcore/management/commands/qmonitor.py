"""``manage.py qmonitor`` is ``qcore monitor``."""

from __future__ import annotations

from ...cli import Verb, monitor
from ..verb import VerbCommand


class Command(VerbCommand):
    """Watch the running clusters; the same as: qcore monitor."""

    help = "Watch the running clusters; the same as: qcore monitor."
    verb: Verb = monitor
