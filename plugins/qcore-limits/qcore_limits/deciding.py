"""Deciding: which of the claimed tasks may run under their limits, and when the others come.

A task needs a place under each of its limits: all of them or none. It waits under the first
one, in the order of their digests, that has none left; when it comes again, all are asked
again. A task that has no place is parked until one is reserved for it. A task that comes
too soon for a rate gets a start time of its own, and is sent again at that time, so that it
is refused once and not again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcore import RUN, RUN_HOLDING, Later, Park, Release

from . import places
from .buckets import AWAY, Buckets
from .models import LimitKey, WaitingTask
from .places import CALLED, KEPT, LATER, PARKED, TERM, Held
from .unique import LONGEST
from .wanted import Rules, Wanted

if TYPE_CHECKING:
    from qcore import Admission, Claim

#: Seconds after the end of a hold until a copy of its task is asked about again.
_AFTER = 1.0


def decide(claims: Sequence[Claim], now: float) -> list[Admission]:
    """Return for each claim whether it may run; what was decided is written.

    Args:
        claims: of tasks that have limits.
        now: by the clock of the database.
    """
    if not claims:
        return []
    return _Batch(claims, now).decide()


class _Batch:
    """One batch of claims, with the rows that it is about."""

    def __init__(self, claims: Sequence[Claim], now: float) -> None:
        self._claims, self._now, self._rules = claims, now, Rules()
        self._wanted = [self._rules.wanted(claim.task) for claim in claims]
        every = [one for wanted in self._wanted for one in wanted]
        self._keys = places.lock_or_make(every, now)
        self._taken = places.counted(self._keys, now)
        ids = [claim.task.id for claim in claims]
        # apart by more than a float of that size resolves: so there is one order for all
        self._arrived = {id: now + 1e-6 * place for place, id in enumerate(ids)}
        # by the ids of tasks, then by digests
        self._holds: dict[str, dict[str, Held]] = {id: {} for id in ids}
        for hold in places.holds_of(ids):
            self._holds[hold.task_id][hold.digest] = hold
        self._line: dict[str, dict[str, WaitingTask]] = {id: {} for id in ids}
        for row in places.lines_of(ids):
            self._line[row.task_id][row.digest] = row
        self._touched: set[str] = set()  # digests of keys whose rows change
        self._emptied: set[str] = set()  # digests of keys that may have a free place
        self._over: set[int] = set()  # holds that are deleted
        self._begun: list[Held] = []
        self._gone: set[int] = set()  # rows of the line that are deleted
        self._joined: dict[tuple[str, str], WaitingTask] = {}
        self._buckets = Buckets(self._keys, now)
        self._buckets.draw((one.digest, one.terms) for one in every)

    def decide(self) -> list[Admission]:
        """Decide one by one, then write it all."""
        try:
            answers = [
                self._answer(claim, wanted)
                for claim, wanted in zip(self._claims, self._wanted, strict=True)
            ]
            self._buckets.put_back()
            self._write()
        except BaseException:
            self._buckets.undo()
            raise
        return answers

    # -- one claim ---------------------------------------------------------------------
    def _answer(self, claim: Claim, wanted: Sequence[Wanted]) -> Admission:
        id = claim.task.id
        running = [
            row
            for row in self._holds[id].values()
            if row.start and row.until > self._now
        ]
        for row in running:
            if row.start != claim.start:
                rest = row.until - self._now + _AFTER
                return Release(rest, "a copy of it holds a place")
        if running:
            return _run(wanted)  # the same claim, asked about again
        for one in wanted:
            self._keys[one.digest].concurrency = one.terms.concurrency
            if not self._has_place(one, id):
                self._refuse(one, id, PARKED, self._now)
                return Park(f"no place under {one.label}")
            if not self._has_start(one, id):
                start = self._next_start(one, id)
                self._refuse(one, id, LATER, start)
                wait = min(max(0.0, start - self._now), LONGEST)
                return Later(wait, f"the rate of {one.label}")
        self._take(claim, wanted)
        return _run(wanted)

    def _has_place(self, one: Wanted, id: str) -> bool:
        most = one.terms.concurrency
        if most is None:
            return True
        row = self._holds[id].get(one.digest)
        counts = row is not None and row.ends > self._now
        others = self._taken.get(one.digest, 0) - counts
        before = self._line[id].get(one.digest)
        parked = self._keys[one.digest].parked
        parked -= before is not None and before.kind == PARKED
        if others < most and (counts or parked <= 0):
            return True
        if self._line[id] and self._goes_first(one.digest, id, others, most):
            return True
        if others < most:
            self._emptied.add(one.digest)  # there is a place, for one that waits longer
        return False

    def _goes_first(self, mark: str, id: str, others: int, most: int) -> bool:
        """Whether a task has waited longer than those that have its place; if so, take it.

        Only a reservation is taken. Without that, two tasks that need the same two places
        could each have one of them reserved, give it up for the other one, and so on for
        ever. The task that has waited longest now gets both.
        """
        turn = min(row.since for row in self._line[id].values()), id
        reserved = [
            row
            for row in places.holds().filter(digest=mark, start=0, ends__gt=self._now)
            if row.task_id != id and row.pk not in self._over
        ]
        since = self._since(mark)
        younger = sorted(
            (
                (since.get(row.task_id, self._now), row.task_id, row)
                for row in reserved
                if (since.get(row.task_id, self._now), row.task_id) > turn
            ),
            key=lambda one: one[:2],
        )
        rows = places.waiting().filter(digest=mark, kind=PARKED, since__lte=turn[0])
        first = [
            (row.since, row.task_id)
            for row in [*rows.order_by("since", "id")[: most + 1], *self._new(mark)]
            if row.pk not in self._gone
        ]
        before = sum(one < turn and one[1] != id for one in first)
        if others - len(younger) + before >= most:
            return False
        for *_, row in reversed(younger[max(0, len(younger) - (others - most + 1)) :]):
            self._over.add(row.pk)
            self._taken[mark] = max(0, self._taken.get(mark, 0) - 1)
            self._holds.get(row.task_id, {}).pop(mark, None)
        return True

    def _since(self, mark: str) -> dict[str, float]:
        """Return since when the tasks wait that were called to a key, by their ids."""
        rows = places.waiting().filter(digest=mark, kind=CALLED)
        return dict(rows.values_list("task_id", "since"))

    def _new(self, mark: str) -> list[WaitingTask]:
        """Return the tasks of this batch that are parked under a key, and not written yet."""
        rows = self._joined.values()
        return [row for row in rows if row.digest == mark and row.kind == PARKED]

    def _has_start(self, one: Wanted, id: str) -> bool:
        if one.terms.pace is None:
            return True
        self._touched.add(one.digest)
        row = self._line[id].get(one.digest)
        is_next = row is not None and row.kind == LATER
        may_start = is_next or self._keys[one.digest].later <= 0
        return may_start and self._buckets.has_start(one.digest)

    def _next_start(self, one: Wanted, id: str) -> float:
        """Return a moment at which a task may start, and take it."""
        assert one.terms.pace is not None
        key = self._keys[one.digest]
        wait = max(0.0, 1 - self._buckets.tokens(one.digest)) * one.terms.pace
        if self._buckets.is_away:
            wait = max(wait, AWAY)
        start = self._now + wait
        row = self._line[id].get(one.digest)
        if key.later > (row is not None and row.kind == LATER):
            # else nobody has the starts before it any more: those tasks were cancelled
            start = max(start, key.next_start)
        key.next_start = start + one.terms.pace
        return start

    def _take(self, claim: Claim, wanted: Sequence[Wanted]) -> None:
        id = claim.task.id
        for one in wanted:
            key = self._keys[one.digest]
            key.used = self._now
            self._touched.add(one.digest)
            if one.terms.pace is not None:
                self._buckets.take(one.digest)
            self._drop_hold(one.digest, id)
            until = self._now + TERM
            new = Held(None, one.digest, id, claim.start, until, until + KEPT)
            self._holds[id][one.digest] = new
            self._begun.append(new)
            self._taken[one.digest] = self._taken.get(one.digest, 0) + 1
        for mark in list(self._line[id]):
            self._leave(mark, id)

    def _refuse(self, one: Wanted, id: str, kind: str, at: float) -> None:
        """Let a task wait under a limit; it holds nothing meanwhile."""
        rows = list(self._line[id].values())
        since = min([self._arrived[id], *(row.since for row in rows)])
        for mark in list(self._holds[id]):
            self._drop_hold(mark, id)
            self._emptied.add(mark)
        for row in rows:
            # it keeps its turn under a rate while it waits for a place elsewhere
            if row.kind in (PARKED, CALLED) or row.digest == one.digest:
                self._leave(row.digest, id)
        row = WaitingTask(digest=one.digest, task_id=id, kind=kind, since=since, at=at)
        self._line[id][one.digest] = self._joined[one.digest, id] = row
        key = self._keys[one.digest]
        key.used = self._now
        if kind == PARKED:
            key.parked += 1
        else:
            key.later += 1
        self._touched.add(one.digest)

    def _leave(self, mark: str, id: str) -> None:
        row = self._line[id].pop(mark)
        self._joined.pop((mark, id), None)
        places.count_out(self._key(mark), row)
        if row.pk is not None:
            self._gone.add(row.pk)

    def _key(self, mark: str) -> LimitKey | None:
        """Return a key, locked now if a task has left it whose limits have changed."""
        if mark not in self._keys:
            self._keys |= places.lock([mark])
        self._touched.add(mark)
        return self._keys.get(mark)

    def _drop_hold(self, mark: str, id: str) -> None:
        row = self._holds[id].pop(mark, None)
        if row is None:
            return
        if row.ends > self._now:
            self._taken[mark] = max(0, self._taken.get(mark, 0) - 1)
        if row.id is not None:
            self._over.add(row.id)

    # -- all of them -------------------------------------------------------------------
    def _write(self) -> None:
        places.free(self._over)
        places.hold(self._begun)
        places.leave(self._gone)
        # before those of this batch join the line: their rows of the outbox come later
        if self._emptied:
            places.fill(
                {
                    mark: key
                    for mark in sorted(self._emptied)
                    if (key := self._key(mark)) is not None
                },
                self._rules,
                self._now,
                are_all_written=False,
            )
        if joined := list(self._joined.values()):
            places.waiting().bulk_create(joined, batch_size=places.MOST)
        changed = sorted(self._touched & set(self._keys))
        places.write([self._keys[mark] for mark in changed])


def _run(wanted: Sequence[Wanted]) -> Admission:
    # a start under a rate is made, and nobody has to renew it
    holds = any(one.terms.concurrency is not None for one in wanted)
    return RUN_HOLDING if holds else RUN
