"""``manage.py qdoctor`` is ``qcore doctor``."""

from __future__ import annotations

from ...cli import Verb, doctor
from ..verb import VerbCommand


class Command(VerbCommand):
    """Examine this project; the same as: qcore doctor."""

    help = "Examine this project; the same as: qcore doctor."
    verb: Verb = doctor
