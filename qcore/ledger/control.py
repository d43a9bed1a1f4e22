"""Control: pauses queues, resumes queues and cancels tasks, and tells clusters of it."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from ..envelope import NEVER_AGAIN
from ..errors import StoreError
from ..models import QueuePause
from ..runtime import current
from ..status import Pause
from ..tasks.ended import is_given_up
from .access import Access
from .marks import OLD, Marks
from .notifications import Listener
from .pauses import Pauses
from .place import is_ready
from .tickets import KEPT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..conf import Conf
    from ..results.base import Record
    from ..settled import TicketState

logger = logging.getLogger("qcore.control")

_TABLES = frozenset({QueuePause._meta.db_table})  # noqa: SLF001 - Django's public name

_DAY = 86400.0
#: Results that are fetched one by one, each time.
_FETCHED = 20


def _is_over(stored: Record) -> bool:
    """Whether a task whose last attempt has failed is not run again.

    A failure that release 2.0 has stored does not tell whether it was the last one. But one
    that was never moved is back after a lease, or when its queue is resumed. Not even the
    last one is believed at once: ``Retry`` is stronger than ``ack_failure``.
    """
    if stored.outcome in NEVER_AGAIN or getattr(stored, "final", False):
        return True
    age = time.time() - stored.stopped.timestamp()
    return age > (_DAY if is_given_up(stored) else KEPT)


class Control:
    """Writes down what is paused and cancelled, for one thread.

    Args:
        conf: the project's settings.

    Raises:
        ConfigError: the database of the ledger is of a kind that it does not work on.
    """

    def __init__(self, conf: Conf) -> None:
        self._access = Access(conf)
        self._pauses = Pauses(self._access)
        self._marks = Marks(self._access)

    @property
    def database(self) -> str:
        """The alias of the database that has the ledger."""
        return self._access.database

    def pause(self, queue: str, by: str | None, reason: str) -> tuple[Pause, bool]:
        """Pause a queue; return the pause, and whether it is new.

        Raises:
            StoreError: the ledger cannot be reached, or its tables are missing.
        """
        with self._access.errors(f"pause the queue {queue!r}"):
            return self._pauses.add(queue, by, reason)

    def resume(self, queue: str) -> Pause | None:
        """Resume a queue; return the pause that ends, or None.

        Raises:
            StoreError: the ledger cannot be reached, or its tables are missing.
        """
        with self._access.errors(f"resume the queue {queue!r}"):
            return self._pauses.remove(queue)

    def paused(self) -> list[Pause]:
        """Return what is paused, by the names of the queues.

        Raises:
            StoreError: the ledger cannot be reached, or its tables are missing.
        """
        with self._access.errors("look which queues are paused"):
            return self._pauses.all()

    def cancel(self, ids: Sequence[str]) -> dict[str, str]:
        """Mark tasks as cancelled, as far as their tickets do not say that they have ended.

        Returns:
            What the ledger knows of them, by their ids: "ended",
            "parked", "suspended" or "scheduled".

        Raises:
            StoreError: the ledger cannot be reached, or its tables are missing.
        """
        with self._access.errors(f"cancel {len(ids):,} tasks"):
            return self._marks.add(ids)

    def close(self) -> None:
        """Close the connection of this thread."""
        self._access.close()


class ControlWatch:
    """Looks for pauses and cancelled tasks, for one cluster and one thread.

    Args:
        conf: the settings of the cluster.
    """

    def __init__(self, conf: Conf) -> None:
        self._queue = conf.queue
        self._access = Access(conf)
        self._pauses = Pauses(self._access)
        self._marks = Marks(self._access)
        self._tidy_at = 0.0  # monotonic
        self._listener: Listener | None = None

    def look(self) -> tuple[Pause | None, bool]:
        """Return the pause of this cluster's queue, or None; and whether there are marks.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        with self._access.errors("look whether the queue is paused"):
            if not is_ready(self._access.database, _TABLES, "no queue can be paused"):
                return None, False
            # in an idle cluster, nearly all of its look at the ledger
            found, has_marks = self._pauses.look(self._queue)
            if has_marks and time.monotonic() >= self._tidy_at:
                self._tidy_at = time.monotonic() + OLD
                try:
                    self._tidy()
                except StoreError as error:
                    # the results may be elsewhere, and away: a pause must not wait for them
                    logger.warning("old marks are not deleted now: %s", error)
            return found, has_marks

    def _tidy(self) -> None:
        """Delete old marks of tasks whose end is stored: each costs a lookup.

        Such a task had ended when somebody cancelled it, or was faster.
        """
        old = self._marks.old()
        if not old:
            return
        ended = set(current.results.finished(old))
        others = [id for id in old if id not in ended]
        for id in random.sample(others, min(_FETCHED, len(others))):
            stored = current.results.fetch(id)
            if stored is not None and _is_over(stored):
                ended.add(id)
        self._marks.forget(ended)

    def cancelled(self, ids: Collection[str]) -> dict[str, TicketState]:
        """Return the tickets of those of these tasks that are to be cancelled.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        with self._access.errors("look which tasks are cancelled"):
            return self._marks.of(ids)

    def wait(self, stopping: threading.Event, seconds: float) -> None:
        """Wait until there may be a pause or a cancelled task, ``seconds`` at most."""
        if self._listener is None:
            self._listener = Listener(stopping)
        self._listener.wait(self._access.connection, seconds)

    def close(self) -> None:
        """Close the connection of this thread."""
        self._access.close()
