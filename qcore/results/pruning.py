"""Pruning: no more successes than ``save_limit`` remain, the newest ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from functools import partial

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from ..models import Task, moment
from .rows import Row

#: Batches after which a store looks below its floors again, at what another cluster
#: has left there when it was killed between two batches.
ROUND = 1000

#: Values of ``save_limit_per`` in one batch that are looked at one by one. For more,
#: one query tells first which of them have too many.
FEW = 8


class Pruner:
    """Deletes the oldest successes after each batch; failures always stay.

    It remembers for each limit the time of the oldest success that it left, its
    floor. Below it there is nothing but rows that were deleted and that PostgreSQL
    still has in its index: without floors, each batch would walk over all that were
    deleted since the last vacuum (measured: 8 ms with 45,000 of them).

    Args:
        tasks: the table, in the database that is written to.
        limit: successes to keep; 0 or less keeps all.
        per: column whose every value has the limit for itself; None for one limit.
    """

    def __init__(self, tasks: QuerySet[Task], limit: int, per: str | None) -> None:
        self._kept = tasks.filter(success=True, iter_index=None)
        self._limit = limit
        self._per = per
        self._floors: dict[str | None, dt.datetime] = {}
        self._batches = 0

    def __call__(self, rows: Sequence[Row]) -> None:
        """Prune what has grown by these rows."""
        if self._limit <= 0:
            return
        self._batches += 1
        if self._batches % ROUND == 0:
            self._floors.clear()
        oldest: dict[str | None, float] = {}
        for row in rows:
            if row.success and row.iter_index is None:
                key = None if self._per is None else getattr(row, self._per)
                oldest[key] = min(row.stopped, oldest.get(key, row.stopped))
        for key in self._exceeding(oldest):
            self._prune(key, moment(oldest[key]))

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

    def _prune(self, key: str | None, oldest: dt.datetime) -> None:
        kept = self._kept
        if self._per is not None:
            kept = kept.filter(**{self._per: key})
        floor = self._floors.get(key)
        if floor is not None:
            kept = kept.filter(stopped__gte=min(floor, oldest))
        ordered = kept.order_by("-stopped", "-id").values_list("stopped", "id")
        last = ordered[self._limit - 1 : self._limit]
        for stopped, id in last:
            earlier = Q(stopped__lt=stopped) | Q(stopped=stopped, id__lt=id)
            kept.filter(earlier, stopped__lte=stopped).delete()
            # a rollback brings back what was deleted, so it must not move the floor
            transaction.on_commit(partial(self._raise, key, stopped), using=kept.db)

    def _raise(self, key: str | None, floor: dt.datetime) -> None:
        if len(self._floors) > ROUND:
            self._floors.clear()
        self._floors[key] = floor
