"""Pruning: no more successes than ``save_limit`` remain, the newest ones."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from math import inf
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from ..brokers.tools import chunks
from ..models import SUCCEEDED, Task, moment
from .acknowledged import Acknowledged, Place
from .rows import Row
from .sql import has_id

#: Batches after which a store looks below its floors again, at what another cluster
#: has left there when it was killed between two batches.
ROUND = 1000

#: Rows that one batch deletes at most where the limit was lowered, so as not to hold up
#: the recorder: ten times this took 0.2 s on PostgreSQL and 0.5 s on MariaDB.
CHUNK = 1000

_PLACE = ("stopped", "id")

#: Successes that may come until they are pruned, and seconds until then at most, where
#: none of them may be pruned before it is acknowledged. To prune after each batch would
#: find those of the batch before, and cost each task as much as to store its result.
PORTION, PAUSE = 500, 5.0

#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
_IDS = 500

#: The largest limit with which each batch looks at all that is kept. With 100,000 that
#: took 0.4 ms for each result on PostgreSQL, with a million 9 ms.
WHOLE = 1000

#: The share of a larger limit that may come until all that is kept is counted again.
RECOUNT = 0.1

#: Values of ``save_limit_per`` in one batch that are looked at one by one. For more,
#: one query tells first which of them have too many.
FEW = 8


class Level(NamedTuple):
    """How full a large limit is, as far as one cluster knows."""

    floor: dt.datetime | None  # the oldest success that was left, once any was deleted
    excess: int  # successes over the limit; below 0: the room that is left
    due: int  # successes that may come until they are counted again


class Pruner:
    """Deletes the oldest successes; failures always stay.

    What anybody may delete goes with the batch that comes next. What only this cluster
    may, because it has seen the acknowledgement, goes in portions, or when ``tidy`` is
    called: so there may be ``PORTION`` successes over the limit while tasks come.

    It remembers for each limit the time of the oldest success that it left, its
    floor. Below it there is nothing but rows that were deleted and that PostgreSQL
    still has in its index: without floors, each batch would walk over all that were
    deleted since the last vacuum (measured: 8 ms with 45,000 of them).

    With a limit over ``WHOLE`` it deletes as many of the oldest as have come, and counts
    all only now and then: for what others have deleted, or were killed before they
    could, and for results that took the place of earlier ones.

    Args:
        tasks: the table, in the database that is written to.
        limit: successes to keep; 0 or less keeps all.
        per: column whose every value has the limit for itself; None for one limit.
        lease: seconds after which a package that is not acknowledged comes again.
    """

    def __init__(
        self, tasks: QuerySet[Task], limit: int, per: str | None, lease: float
    ) -> None:
        self._tasks = tasks
        self._kept = tasks.filter(SUCCEEDED, iter_index=None)
        self._limit = limit
        self._per = per
        self._floors: dict[str | None, dt.datetime] = {}
        self._levels: dict[str | None, Level] = {}
        self._batches = 0
        self._acknowledged = Acknowledged(lease)
        # limits that are to be looked at, with the oldest success that has come
        self._waiting: dict[str | None, float] = {}
        self._grown: Counter[str | None] = Counter()  # successes that have come
        self._come = 0  # the same for all limits, those of lost transactions too
        self._looked_at = 0.0  # monotonic
        # limits over which nothing but what is young was left
        self._young: set[str | None] = set()

    def acknowledge(self, ids: Collection[str]) -> None:
        """Note that no delivery of these tasks is left: they may be pruned from now on."""
        if self._limit <= 0:
            return
        keys = self._acknowledged.acknowledge(ids)
        if self._young:
            for key in keys - self._waiting.keys():
                self._waiting[key] = time.time()

    @property
    def is_behind(self) -> bool:
        """Whether there may be too many that no further batch has pruned yet."""
        return bool(self._waiting)

    def tidy(self) -> None:
        """Prune the successes that were acknowledged since the last call."""
        self._look({}, keep=False)

    def __call__(self, rows: Sequence[Row]) -> None:
        """Prune what has grown by these rows, or let it wait for more."""
        if self._limit <= 0:
            return
        self._batches += 1
        if self._batches % ROUND == 0:
            self._floors.clear()
            self._acknowledged.forget()
        stored, oldest = self._sort(rows)
        if not stored:
            return
        self._acknowledged.note(stored)
        for key, stopped in oldest.items():
            self._waiting[key] = min(stopped, self._waiting.get(key, stopped))
        self._come += len(stored)
        grown: Mapping[str | None, int] = {}
        if self._limit > WHOLE:
            grown = Counter(key for key, _ in stored.values())
        if not self._may_wait(min(oldest.values())):
            self._look(grown, keep=True)
        elif grown:
            # a rollback takes them away, and they must not be counted then
            transaction.on_commit(partial(self._grown.update, grown), self._kept.db)

    def _sort(
        self, rows: Sequence[Row]
    ) -> tuple[dict[str, tuple[str | None, float]], dict[str | None, float]]:
        """Return the limit and the end of each success, and the first end of each limit."""
        stored: dict[str, tuple[str | None, float]] = {}
        oldest: dict[str | None, float] = {}
        for row in rows:
            if row.success and row.iter_index is None:
                key = None if self._per is None else getattr(row, self._per)
                stored[row.id] = key, row.stopped
                if row.stopped < oldest.get(key, inf):
                    oldest[key] = row.stopped
        return stored, oldest

    def _may_wait(self, oldest: float) -> bool:
        """Whether there is next to nothing yet that may be deleted."""
        return (
            bool(self._young)
            and self._come < PORTION
            and time.monotonic() - self._looked_at < PAUSE
            and oldest >= self._acknowledged.young()
        )

    def _look(self, grown: Mapping[str | None, int], *, keep: bool) -> None:
        """Prune each limit that waits for it.

        Args:
            grown: successes that are being stored.
            keep: leave those waiting of which some are not acknowledged yet.
        """
        self._come, self._looked_at = 0, time.monotonic()
        self._young.clear()
        waiting = dict(self._waiting)
        for key in self._exceeding(waiting):
            come = grown.get(key, 0) + self._grown[key]
            self._prune_one(key, moment(waiting[key]), come)
        young = set(self._young) if keep else set()
        # after a rollback there is as much to do as before
        done = partial(self._looked, waiting, young)
        transaction.on_commit(done, self._kept.db)

    def _looked(
        self, waiting: Mapping[str | None, float], young: Collection[str | None]
    ) -> None:
        """Note which limits have been looked at, and which are to be once more."""
        self._grown.clear()
        for key, oldest in waiting.items():
            if key in young:
                self._waiting[key] = time.time()  # all that has come before is known
            elif self._waiting.get(key) == oldest:
                del self._waiting[key]

    def _prune_one(self, key: str | None, oldest: dt.datetime, grown: int) -> None:
        if self._limit > WHOLE:
            self._follow(key, oldest, grown)
        else:
            self._prune(key, oldest)

    def _exceeding(self, keys: Collection[str | None]) -> Collection[str | None]:
        """Return the keys that may have too many successes."""
        if self._per is None or len(keys) <= FEW:
            return keys
        named = [key for key in keys if key is not None]
        matching = Q(**{f"{self._per}__in": named})
        if None in keys:
            matching |= Q(**{self._per: None})
        counted = self._kept.filter(matching).order_by().values(self._per)
        many = counted.annotate(n=Count("id")).filter(n__gt=self._limit)
        return list(many.values_list(self._per, flat=True))

    def _kept_of(self, key: str | None) -> QuerySet[Task]:
        """Return the successes that share one limit."""
        return (
            self._kept if self._per is None else self._kept.filter(**{self._per: key})
        )

    def _prune(self, key: str | None, oldest: dt.datetime) -> None:
        kept = self._kept_of(key)
        floor = self._floors.get(key)
        if floor is not None:
            kept = kept.filter(stopped__gte=min(floor, oldest))
        place = self._limit - 1
        for last in kept.order_by("-stopped", "-id").values_list(*_PLACE)[place:][:1]:
            young = moment(self._acknowledged.young())
            if last[0] >= young:
                self._prune_young(key, kept, last, young)
                return
            excess = kept.filter(_before(*last))
            # Only without a floor can there be a great many: the limit was lowered.
            surplus = excess.order_by(*_PLACE).values_list(*_PLACE)[CHUNK:][:1]
            for cut in surplus if floor is None else ():
                excess.filter(_before(*cut)).delete()
                return
            excess.delete()
            # a rollback brings back what was deleted, so it must not move the floor
            transaction.on_commit(partial(self._raise, key, last[0]), using=kept.db)

    def _prune_young(
        self, key: str | None, kept: QuerySet[Task], last: Place, young: dt.datetime
    ) -> None:
        """Prune where even the last that is to stay may not be acknowledged yet."""
        self._young.add(key)
        self._drop_confirmed(key, last)
        for cut in (
            kept.filter(stopped__lt=young)
            .order_by(*_PLACE)
            .values_list(*_PLACE)[CHUNK:][:1]
        ):
            kept.filter(_before(*cut)).delete()
            return
        kept.filter(stopped__lt=young).delete()
        transaction.on_commit(partial(self._raise, key, young), using=kept.db)

    def _drop_confirmed(self, key: str | None, last: Place) -> int:
        """Delete what is acknowledged before a place; return how many."""
        ids = self._acknowledged.before(key, last)
        gone = 0
        for part in chunks(ids, _IDS):
            gone += self._tasks.filter(_earlier(*last), has_id(part)).delete()[0]
        if ids:
            forget = partial(self._acknowledged.pruned, key, last)
            transaction.on_commit(forget, using=self._kept.db)
        return gone

    def _follow(self, key: str | None, oldest: dt.datetime, grown: int) -> None:
        """Delete as many of the oldest as are known to be too many, CHUNK at most."""
        kept = self._kept_of(key)
        level = self._levels.get(key)
        if level is None or level.due <= 0:
            due = int(self._limit * RECOUNT)
            level = Level(None, kept.count() - self._limit, due)
        else:
            level = Level(level.floor, level.excess + grown, level.due - grown)
        surplus = min(level.excess, CHUNK + grown)
        if surplus > 0:
            if level.floor is not None:
                kept = kept.filter(stopped__gte=min(level.floor, oldest))
            for cut in kept.order_by(*_PLACE).values_list(*_PLACE)[surplus:][:1]:
                floor, gone = self._drop_before(key, kept, cut)
                level = Level(floor, level.excess - gone, level.due)
        transaction.on_commit(partial(self._note, key, level), using=kept.db)

    def _drop_before(
        self, key: str | None, kept: QuerySet[Task], cut: Place
    ) -> tuple[dt.datetime, int]:
        """Delete what may be pruned before a place; return the new floor, and how many."""
        young = moment(self._acknowledged.young())
        if cut[0] < young:
            return cut[0], kept.filter(_before(*cut)).delete()[0]
        self._young.add(key)
        gone = kept.filter(stopped__lt=young).delete()[0]
        return young, gone + self._drop_confirmed(key, cut)

    def _note(self, key: str | None, level: Level) -> None:
        if len(self._levels) > ROUND:
            self._levels.clear()
        self._levels[key] = level

    def _raise(self, key: str | None, floor: dt.datetime) -> None:
        if len(self._floors) > ROUND:
            self._floors.clear()
        self._floors[key] = floor


def _earlier(stopped: dt.datetime, id: str) -> Q:
    """Return the condition of what stopped earlier, by time and then by id."""
    return Q(stopped__lt=stopped) | Q(stopped=stopped, id__lt=id)


def _before(stopped: dt.datetime, id: str) -> Q:
    """Return the same condition for an index."""
    # the first part says nothing new; it is what an index can be used for
    return Q(stopped__lte=stopped) & _earlier(stopped, id)
