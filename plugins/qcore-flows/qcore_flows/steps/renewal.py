"""Renewal: keeps the run of this worker from being begun by another one.

Runs in: a thread of a worker, which is started with the worker. A step may take longer than
the term for which a run is held; so while the task runs, the thread moves that moment on. It
ends with its process, and sleeps with it: then the term ends, and another worker goes on.
"""

from __future__ import annotations

import logging
import threading
from functools import partial

from qcore.runtime import current

logger = logging.getLogger("qcore.flows")

#: Seconds between two signs of life: a quarter of the term.
EVERY = 15.0


class Renewal:
    """Keeps one run at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: tuple[str, int] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, in this process."""
        self.__init__()  # type: ignore[misc]  # a fork has copied the one of its parent
        self._thread = threading.Thread(
            target=self._run, name="qcore flows renewal", daemon=True
        )
        self._thread.start()

    def keep(self, run_id: str, start: int) -> None:
        """Keep a run, from now on."""
        with self._changed:
            self._held = run_id, start
            self._changed.notify()

    def leave(self) -> None:
        """Keep no run."""
        with self._changed:
            self._held = None
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held is not None)
                held = self._held
                is_same = not self._changed.wait_for(
                    partial(self._differs, held), EVERY
                )
            if held is not None and is_same:
                self._renew(*held)

    def _differs(self, held: tuple[str, int] | None) -> bool:
        return self._held != held

    def _renew(self, run_id: str, start: int) -> None:
        """Move the end of the term on, unless another worker has the run."""
        from django.db import connections

        from ..models.steps import Run
        from .memory import TERM

        ledger = current.ledger
        if ledger is None:
            return
        try:
            rows = Run.objects.using(ledger.database).filter(
                pk=run_id, start=start, ended=None
            )
            rows.update(held_until=ledger.now() + TERM)
        except Exception as error:  # noqa: BLE001 - the next look may find the database
            logger.warning("the run of %s cannot be renewed now: %s", run_id, error)
        finally:
            connections[ledger.database].close()


#: That of this process.
RENEWAL = Renewal()
