"""``manage.py qinfo`` is ``qcore info``."""

from __future__ import annotations

from ...cli import Verb, info
from ..verb import VerbCommand


class Command(VerbCommand):
    """Show totals and settings; the same as: qcore info."""

    help = "Show totals and settings; the same as: qcore info."
    verb: Verb = info
