"""An app of Django that uses database and broker before the cluster forks."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from django.apps import AppConfig

from .ledger import note


class Early(AppConfig):
    name = "chores.early"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        from qcore.models import Schedule
        from qcore.runtime import current

        with warnings.catch_warnings():
            # Django says that no app should do this; some do
            warnings.simplefilter("ignore", RuntimeWarning)
            Schedule.objects.count()
        current.broker().ping()
        note("early", f"connected {os.getpid()}")
