"""An app of Django that imports a module with a mistake when it starts."""

from __future__ import annotations

from pathlib import Path

from django.apps import AppConfig


class Unfinished(AppConfig):
    name = "chores.unfinished"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        from . import broken

        self.task = broken.task
