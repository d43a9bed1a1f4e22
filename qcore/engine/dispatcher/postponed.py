"""Runs in: the recorder. Keeps the jobs that a store does not take now.

Each store of a cluster has its own pauses: a cache that is away does not delay results for
the database, and a database that is away does not delay results for the cache. A result
that its store refuses while it takes others waits alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from .batches import Work
from .job import Job
from .outages import Outage
from .state import SharedState


class _Wait(msgspec.Struct):
    """Jobs that wait for one store or one row, with the time of the next try."""

    outage: Outage
    again_at: float | None = None  # monotonic; None: now
    jobs: list[tuple[Work, Job]] = msgspec.field(default_factory=list)

    def failed(self, error: Exception) -> None:
        self.again_at = time.monotonic() + self.outage.failed(error)


class Postponed:
    """Keeps the jobs that wait for a store, and knows when to try again.

    Args:
        shared: what the threads share.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._routes: dict[str, _Wait] = {}
        self._alone: dict[str, _Wait] = {}

    def __len__(self) -> int:
        """Return how many jobs wait here; for any thread."""
        if not self._routes and not self._alone:
            return 0  # nearly always, and the loop asks in each round
        waits = [*self._routes.copy().values(), *self._alone.copy().values()]
        return sum(len(wait.jobs) for wait in waits)

    # -- all jobs of a route -------------------------------------------------------------
    def failed(self, route: str, error: Exception) -> None:
        """Log that the store of a route is away; do not ask it before a pause is over."""
        self._route(route).failed(error)

    def works(self, route: str) -> None:
        """Note that the store of a route has answered."""
        if (wait := self._routes.get(route)) is not None:
            wait.again_at = None
            wait.outage.over()

    def is_away(self, route: str) -> bool:
        """Whether the store of a route is not to be asked now."""
        wait = self._routes.get(route)
        return wait is not None and wait.again_at is not None

    def add(self, route: str, work: Work, jobs: Iterable[Job]) -> None:
        """Let jobs wait until the store of their route is asked again."""
        self._route(route).jobs += [(work, job) for job in jobs]

    def _route(self, route: str) -> _Wait:
        if (wait := self._routes.get(route)) is None:
            wait = self._routes[route] = _Wait(self._outage(f"store {route}"))
        return wait

    # -- one row -----------------------------------------------------------------------
    def add_alone(
        self, id: str, work: Work, jobs: Iterable[Job], error: Exception
    ) -> None:
        """Let jobs wait for one row with pauses of its own, while their store takes others.

        Args:
            id: of the row: of a task, or of an ``async_iter``.
            work: what is to be done with the jobs then.
            jobs: that wait for it.
            error: what the store has said.
        """
        if (wait := self._alone.get(id)) is None:
            wait = self._alone[id] = _Wait(self._outage(f"result {id}"))
        wait.failed(error)
        wait.jobs += [(work, job) for job in jobs]

    def forget(self, ids: Iterable[str]) -> None:
        """Forget the pauses of rows for which nothing waits any more."""
        if not self._alone:
            return  # nearly always
        for id in ids:
            if (wait := self._alone.pop(id, None)) is not None:
                wait.outage.over()

    def _outage(self, what: str) -> Outage:
        return Outage("recorder", self._shared, what=what)

    # -- when ----------------------------------------------------------------------------
    @property
    def next_at(self) -> float | None:
        """The moment of the next try, on the monotonic clock; None where nothing waits."""
        if not self._routes and not self._alone:
            return None  # nearly always
        waits = [wait for wait in self._waits() if wait.jobs]
        return min((wait.again_at or 0.0 for wait in waits), default=None)

    def take_due(self) -> list[tuple[Work, Job]]:
        """Return what is to be tried again now."""
        due: list[tuple[Work, Job]] = []
        if not self._routes and not self._alone:
            return due
        now = time.monotonic()
        for wait in self._waits():
            if wait.again_at is None or wait.again_at <= now:
                wait.again_at = None
                due += wait.jobs
                wait.jobs = []
        return due

    def hasten(self) -> None:
        """Try everything once now: the cluster stops."""
        for wait in self._waits():
            wait.again_at = None

    def _waits(self) -> list[_Wait]:
        return [*self._routes.values(), *self._alone.values()]
