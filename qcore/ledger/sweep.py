"""The sweep of a plugin: it looks at its own tables from time to time (``qcore_sweep``)."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from django.db import connections

from ..masking import mask_url
from .passing import is_passing

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..runtime import LedgerPlace

logger = logging.getLogger("qcore.sweeps")

#: Seconds between two sweeps of a plugin at most, and at least.
LONGEST, SHORTEST = 60.0, 0.05
#: Seconds after which a plugin that has failed is called again, doubled each time.
FIRST = 1.0


class Sweep:
    """The sweep of one plugin, for one thread.

    Args:
        name: of the plugin.
        hook: its implementation.
        ledger: of this thread.
    """

    def __init__(
        self, name: str, hook: Callable[..., Any], ledger: LedgerPlace
    ) -> None:
        self._name = name
        self._hook = hook
        self._ledger = ledger
        self._next = 0.0  # on the monotonic clock
        self._failures = 0  # in a row

    def tick(self) -> float:
        """Call the plugin if its time has come; return the seconds until the next call."""
        if self._next <= time.monotonic():
            rest = self._sweep()
            self._next = time.monotonic() + rest
        return max(0.0, self._next - time.monotonic())

    def _sweep(self) -> float:
        try:
            if not self._ledger.is_ready or self._ledger.lacking([self._name]):
                return LONGEST  # the log has it
            found = self._hook(now=self._ledger.now())
            rest = LONGEST if found is None else float(found)
            if math.isnan(rest):
                raise ValueError("expected seconds until the next call, got nan")
        except BaseException as error:  # noqa: BLE001 - it must not end the thread
            return self._failed(error)
        self._failures = 0
        return min(max(rest, SHORTEST), LONGEST)

    def _failed(self, error: BaseException) -> float:
        rest: float = min(FIRST * 2 ** min(self._failures, 10), LONGEST)
        self._failures += 1
        told = type(error).__name__, mask_url(str(error))
        if is_passing(error):  # no fault of the plugin
            logger.warning(
                "the database of the ledger is away, so plugin %s is called again in"
                " %.0f s: %s: %s", self._name, rest, *told,
            )  # fmt: skip
        else:
            logger.error(
                "plugin %s failed in qcore_sweep, and is called again in %.0f s: %s: %s",
                self._name, rest, *told,
                exc_info=error if self._failures == 1 else None,
            )  # fmt: skip
        connections[self._ledger.database].close_if_unusable_or_obsolete()
        return rest

    def close(self) -> None:
        """Close the connection of this thread."""
        connections[self._ledger.database].close()
