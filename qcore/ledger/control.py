"""Control: what people ask of clusters while they run, and how clusters hear of it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ..models import QueuePause
from ..status import Pause
from .access import Access
from .calling import Listener
from .pauses import Pauses
from .place import is_ready

if TYPE_CHECKING:
    from ..conf import Conf

logger = logging.getLogger("qcore.control")

_TABLES = frozenset({QueuePause._meta.db_table})  # noqa: SLF001 - Django's public name


class Control:
    """What people ask, for one thread.

    Args:
        conf: the project's settings.

    Raises:
        ConfigError: the database of the ledger is of a kind that it does not work on.
    """

    def __init__(self, conf: Conf) -> None:
        self._access = Access(conf)
        self._pauses = Pauses(self._access)

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

    def close(self) -> None:
        """Let this thread's connection go."""
        self._access.close()


class ControlWatch:
    """What a cluster looks at every second, for one thread.

    Args:
        conf: the settings of the cluster.
    """

    def __init__(self, conf: Conf) -> None:
        self._queue = conf.queue
        self._access = Access(conf)
        self._pauses = Pauses(self._access)
        self._listener: Listener | None = None

    def look(self) -> Pause | None:
        """Return the pause of this cluster's queue, or None.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        with self._access.errors("look whether the queue is paused"):
            if not is_ready(self._access.database, _TABLES, "no queue can be paused"):
                return None
            # in an idle cluster, nearly all of its look at the ledger
            return self._pauses.of(self._queue)

    def wait(self, stopping: threading.Event, seconds: float) -> None:
        """Wait until somebody may have asked for something, at most so many seconds."""
        if self._listener is None:
            self._listener = Listener(stopping)
        self._listener.wait(self._access.connection, seconds)

    def close(self) -> None:
        """Let this thread's connection go."""
        self._access.close()
