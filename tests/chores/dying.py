"""An app of Django whose workers die in their start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from qcore.signals import post_spawn

from .ledger import note


class Dying(AppConfig):
    name = "chores.dying"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        post_spawn.connect(die)


def die(**_: Any) -> None:
    note("dying", "born")
    os._exit(1)
