"""Runs in: the recorder. Stores batches; a result that the store refuses stops no other.

An error passes, and then all is tried again until it works; or it never passes, because of
one result that the store can never take. Where the error does not tell which of the two it
is, the store is asked whether it takes a small result. If it does, the batch is halved
until the culprit is alone. A note takes the place of its value then.

Even "cannot be reached" is no proof. Redis closes the connection over which a value comes
that is too large for it, and the driver says what it says of a server that is away. So a
result that fails alone, again and again, while the store answers, is doubted in the end.
Where a small failure of the *same task* is stored, the value is to blame: with a cache of
several servers, another one may have answered.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ...errors import (
    PackageError,
    QcoreError,
    SerializeError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from ...results import routing
from ..services import Services
from .fallback import probe, use_fallback
from .job import Job
from .outages import Outage

logger = logging.getLogger("qcore.recorder")

#: Failures of one result alone, while a store that says it is away answers, after which
#: the result is probed.
DOUBTS = 3


class ResultWriter:
    """The way from ended jobs to stored results.

    Args:
        parts: what the cluster is made of.
        patience: waits while the store is away.
        save: stores jobs, all of them or none.
        later: puts jobs behind all that wait; for a cache that is away.
        leave: forgets a job that cannot be stored in any form.
    """

    def __init__(
        self,
        services: Services,
        outage: Outage,
        save: Callable[[Sequence[Job]], None],
        later: Callable[[Job], None],
        leave: Callable[[Job], None],
    ) -> None:
        self._services = services
        self._outage = outage
        self._save = save
        self._later = later
        self._leave = leave
        self._has_rested = False  # in this batch

    def store(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        """Store jobs in their order, and yield each part of them that is stored."""
        waiting = deque([jobs])
        self._has_rested = False
        while waiting:
            part = waiting.popleft()
            try:
                self._save(part)
            except Exception as error:  # noqa: BLE001 - stores are plugins
                waiting.extendleft(reversed(self._after(part, error)))
            else:
                self._outage.over()
                yield part

    def is_refusal(self, error: Exception, cached: Sequence[bool]) -> bool:
        """Whether trying again is useless: the store takes others, and not this.

        Args:
            error: by a store, or by a broker in its transaction.
            cached: which stores are meant, see ``Parts.make_store``.
        """
        if isinstance(error, StoreRefused | SerializeError | PackageError):
            return True
        if isinstance(error, StoreUnavailable):
            return False
        if isinstance(error, QcoreError) and not isinstance(error, StoreError):
            return False  # the broker is away, or a setting is wrong
        return self._answers(cached)

    def may_be_refusal(self, error: Exception, cached: Sequence[bool]) -> bool:
        """The same, of a store that says that it is away and answers: it may be."""
        if isinstance(error, StoreUnavailable):
            return self._answers(cached)
        return self.is_refusal(error, cached)

    # -- after a failure -----------------------------------------------------------------
    def _after(self, part: Sequence[Job], error: Exception) -> list[Sequence[Job]]:
        """Return what is to be tried next in the place of a part that was not stored."""
        cached, database = self._split(part)
        stores = [of for of, its in ((False, database), (True, cached)) if its]
        passes = isinstance(error, StoreUnavailable)
        if not self.may_be_refusal(error, stores):
            for job in part:
                job.doubted, job.cuts = False, 0  # a store may be coming back next
            return self._wait(part, database, cached, error)
        if len(part) > 1:
            logger.warning(
                "the store refuses %d results together; each half is tried alone: %s",
                len(part),
                error,
            )
            half = len(part) // 2
            return [part[:half], part[half:]]
        (job,) = part
        if passes and not self._is_to_blame(job, error, cached=bool(cached)):
            return self._wait(part, database, cached, error)
        if not passes:
            job.cuts = 0
            if not isinstance(error, StoreRefused) and not job.doubted:
                # The store may have come back between the failure and the question.
                job.doubted = True
                return [part]
        if not use_fallback(job, error):
            logger.error(
                "no result of %s can be stored; its delivery is left to its lease",
                job.task.id,
            )
            self._leave(job)
            return []
        job.cuts = 0  # for the note is another value
        return [part]

    def _is_to_blame(self, job: Job, error: Exception, *, cached: bool) -> bool:
        """Whether a store that says it is away takes the task, and not this result."""
        job.doubted = False  # it is coming back, perhaps
        job.cuts += 1
        if job.cuts == DOUBTS:
            try:
                self._services.make_store(cached).save([probe(job, error)])
            except Exception as again:  # noqa: BLE001 - stores are plugins
                logger.debug("the store takes nothing of %s: %s", job.task.id, again)
                job.cuts = 0
        # the store may have come back just before the probe: the result is tried after it
        return job.cuts > DOUBTS

    def _wait(
        self,
        part: Sequence[Job],
        database: Sequence[Job],
        cached: Sequence[Job],
        error: Exception,
    ) -> list[Sequence[Job]]:
        """Wait for a store that is away; the other one is not kept waiting."""
        if database and cached:
            return [database, cached]
        if not cached or not isinstance(error, StoreError):
            self._outage.wait_out(error)
            return [part]
        if not self._has_rested:  # once for a batch whose results fail one by one
            self._outage.wait_out(error)
            self._has_rested = True
        for job in cached:
            self._later(job)
        return []

    def _split(self, part: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Return the jobs for the cache and those for the database."""
        cached: list[Job] = []
        database: list[Job] = []
        for job in part:
            is_cached = routing.is_cached(job.task, self._services.conf)
            (cached if is_cached else database).append(job)
        return cached, database

    def _answers(self, cached: Sequence[bool]) -> bool:
        """Whether these stores take a small result, now."""
        try:
            for of in cached:
                self._services.make_store(of).ping()
        except Exception as error:  # noqa: BLE001 - stores are plugins
            logger.debug("the store takes nothing: %s", error)
            return False
        return True
