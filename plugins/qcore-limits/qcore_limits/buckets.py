"""Buckets: the starts that one transaction may give to tasks under a rate.

All that a batch may need is drawn at once, with one question to the limiter; what is left
goes back at the end. While the limiter is away, there are no starts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from qcore.errors import QcoreError
from qcore.masking import mask_url
from qcore.printable import printable
from qcore.runtime import current

from .limiter import NEARLY, Bucket, Limiter, RowLimiter, limiter_of, taken_of
from .places import database

if TYPE_CHECKING:
    from .models import LimitKey
    from .wanted import Terms

logger = logging.getLogger("qcore.limits")

#: Seconds for which a limiter that was away is not asked again, and after which at the
#: earliest a task comes again that has got no start for that reason.
AWAY = 5.0


class _Outage:
    """What this process knows of a limiter that is away."""

    until = 0.0
    """By the monotonic clock: when it is asked again."""
    is_told = False


class Buckets:
    """The starts of some keys, whose rows are locked."""

    def __init__(self, rows: Mapping[str, LimitKey], now: float) -> None:
        """Take the limiter of the settings.

        Args:
            rows: the keys, by their digests; the caller writes those that change.
            now: by the clock of the database.

        Raises:
            ConfigError, PluginBroken: the settings name a limiter that cannot be had.
        """
        other = limiter_of(current.conf)
        self._limiter: Limiter = RowLimiter(rows, now) if other is None else other
        self._is_apart = other is not None
        self._drawn: dict[str, int] = {}  # not given to a task yet
        self._taken: dict[str, int] = {}  # of the limiter, and not given back
        self._left: dict[str, float] = {}
        #: Whether nobody knows how many starts there are.
        self.is_away = False

    def draw(self, wanted: Iterable[tuple[str, Terms]], *, takes: bool = True) -> None:
        """Draw as many starts as may be needed.

        Args:
            wanted: digests with the numbers of their limits, once for each task.
            takes: False: only look.
        """
        asked: dict[str, Bucket] = {}
        for mark, terms in wanted:
            if terms.pace is None:
                continue
            before = asked.get(mark) or Bucket(mark, terms.pace, terms.burst, 0)
            asked[mark] = before._replace(most=before.most + takes)
        if not asked:
            return
        buckets = list(asked.values())
        found = self._ask(buckets)
        if found is None:
            self.is_away = True
            return
        for bucket, tokens in zip(buckets, found, strict=True):
            self._left[bucket.key] = tokens
            self._drawn[bucket.key] = taken_of(tokens, bucket)
        self._taken = dict(self._drawn)

    def _ask(self, buckets: list[Bucket]) -> list[float] | None:
        if not self._is_apart:
            return self._limiter.draw(buckets)
        if time.monotonic() < _Outage.until:
            return None
        try:
            found = self._limiter.draw(buckets)
        except QcoreError as error:
            self._tell(error)
            return None
        if _Outage.is_told:
            _Outage.is_told = False
            logger.info("the limiter answers again")
        return found

    def _tell(self, error: QcoreError) -> None:
        _Outage.until = time.monotonic() + AWAY
        if not _Outage.is_told:
            _Outage.is_told = True
            logger.warning(
                "the limiter %r does not answer, and tasks under a rate wait: %s",
                current.conf.options.get("limiter"),
                printable(mask_url(str(error))),
            )

    def tokens(self, mark: str) -> float:
        """Return the starts that a key has left, and the part of the next one."""
        return self._left.get(mark, 0.0)

    def has_start(self, mark: str) -> bool:
        """Whether a task may start now."""
        return self._drawn.get(mark, 0) > 0 and self.tokens(mark) >= 1 - NEARLY

    def take(self, mark: str) -> None:
        """Give one start to a task."""
        self._left[mark] = max(0.0, self.tokens(mark) - 1)
        self._drawn[mark] = self._drawn.get(mark, 0) - 1

    def put_back(self) -> None:
        """Give back what was drawn and not taken."""
        left, self._drawn = self._drawn, {}
        self._taken = {
            mark: count - left.get(mark, 0) for mark, count in self._taken.items()
        }
        self._give_back(left)

    def undo(self) -> None:
        """Give back all that was drawn: the transaction of its tasks is undone."""
        taken, self._taken, self._drawn = self._taken, {}, {}
        if self._is_apart:  # a row has what it had
            self._give_back(taken)

    def return_unmade(self, starts: Mapping[str, int]) -> None:
        """Give back starts of tasks that have not begun, with the commit of this transaction."""
        if not self._is_apart:
            self._limiter.give_back(starts)
            return
        given = partial(self._give_back, dict(starts))
        transaction.on_commit(given, using=database(), robust=True)

    def _give_back(self, starts: Mapping[str, int]) -> None:
        """Give starts back; they are lost where the limiter is away."""
        starts = {mark: count for mark, count in starts.items() if count > 0}
        if not starts or (self._is_apart and time.monotonic() < _Outage.until):
            return
        try:
            self._limiter.give_back(starts)
        except QcoreError as error:
            self._tell(error)
