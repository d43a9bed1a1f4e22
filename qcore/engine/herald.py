"""Runs in: the herald, a thread of the dispatcher. Publishes what the cluster does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..errors import QcoreError
from ..status import Snapshot

logger = logging.getLogger("qcore.herald")


class Herald:
    """Publishes a snapshot every round, and a last one at the end.

    Args:
        take: takes a snapshot.
        publish: makes it visible; may fail, the next round tries again.
        cycle: seconds between two rounds (setting ``guard_cycle``).
    """

    def __init__(
        self,
        take: Callable[[], Snapshot],
        publish: Callable[[Snapshot], None],
        cycle: float,
    ) -> None:
        self._take = take
        self._publish = publish
        self._cycle = cycle
        self._end = threading.Event()
        self._failing = False

    def run(self) -> None:
        """Publish until ``close``, and once more."""
        while True:
            self._once()
            if self._end.wait(self._cycle):
                break
        self._once()

    def close(self) -> None:
        """End after a last snapshot."""
        self._end.set()

    def _once(self) -> None:
        try:
            self._publish(self._take())
        except QcoreError as error:
            if not self._failing:  # once, not twice a second
                logger.warning("status is not published: %s", error)
            self._failing = True
        else:
            self._failing = False
