"""``manage.py qcluster`` is ``qcore cluster``."""

from __future__ import annotations

from ...cli import Verb, cluster
from ..verb import VerbCommand


class Command(VerbCommand):
    """Run a cluster; the same as: qcore cluster."""

    help = "Run a cluster; the same as: qcore cluster."
    verb: Verb = cluster
