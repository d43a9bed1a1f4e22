"""An app of Django whose processes have the wall clock that a test sets."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import time_machine
from django.apps import AppConfig

#: Names the file with the seconds by which the clock is wrong; empty: it is right.
VARIABLE = "QCORE_TEST_CLOCK"


class WrongClock(AppConfig):
    name = "chores.clock"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        # threads do not live through a fork: each process watches for itself
        os.register_at_fork(after_in_child=_watch)


def _watch() -> None:
    threading.Thread(target=_follow, name="wrong clock", daemon=True).start()


def _follow() -> None:
    """Set this process's clock whenever the file says another number of seconds."""
    path, traveller, wrong_by = Path(os.environ[VARIABLE]), None, 0.0
    while True:
        told = float(path.read_text() or 0)
        if told != wrong_by:
            right = time.time() - wrong_by
            if traveller is None:
                traveller = time_machine.travel(right + told).start()
            traveller.move_to(right + told)
            wrong_by = told
        time.sleep(0.01)
