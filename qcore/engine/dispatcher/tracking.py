"""Runs in: the recorder. Notes in the ledger how tracked tasks have ended.

Where results and ledger are in one database, result and end are committed together. Else the
result is stored first, and then the end; both before the acknowledgement. A ledger that is
away holds up tracked tasks only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...envelope import UNTOLD, Result
from ...errors import (
    LedgerBusy,
    LedgerError,
    QcoreError,
    StoreBusy,
    StoreError,
    StoreRefused,
)
from ...masking import mask_url
from ...results.base import ResultStore
from ..services import Services
from .job import Job

logger = logging.getLogger("qcore.recorder")


class NotTracked(StoreError):
    """Results are stored, and the ends of those that are tracked are not noted."""


class Tracking:
    """The way of tracked tasks into the ledger.

    Args:
        services: what the cluster is made of.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def save(
        self, store: ResultStore, kept: Sequence[Result], tracked: Sequence[Result]
    ) -> None:
        """Store results, and note the ends of those that are tracked.

        Args:
            store: where the results go.
            kept: the results that are stored, perhaps none.
            tracked: the results of tracked tasks.

        Raises:
            NotTracked: the results are stored; the ledger does not take the ends now.
            StoreError: nothing is stored, or the ledger will never take one of the ends.
        """
        tracker = self._services.make_tracker()
        if tracker is not None and tracker.database == store.database:
            with tracker.transaction():
                if kept:
                    store.save(kept)
                tracker.end(tracked)
            return
        if kept:
            store.save(kept)
        if tracker is None:
            logger.warning(
                "%d tracked tasks have ended, and this cluster has no tables for them",
                len(tracked),
            )
            return
        try:
            tracker.end(tracked)
        except StoreRefused:
            raise
        except StoreError as error:
            raise NotTracked(str(error)) from error

    def end(self, jobs: Sequence[Job]) -> None:
        """Note the ends of jobs, in the transaction of the ledger that is open.

        Raises:
            StoreRefused: the ledger will never take one of them.
            LedgerBusy: another transaction goes first.
            LedgerError: the ledger does not take them now.
        """
        results = [
            job.result
            for job in jobs
            if job.task.options.track is True and job.result is not None
        ]
        tracker = self._services.make_tracker() if results else None
        if tracker is None:
            return
        try:
            if ended := [one for one in results if one.outcome not in UNTOLD]:
                tracker.end(ended)
            if waiting := [one.task.id for one in results if one.outcome in UNTOLD]:
                tracker.again(waiting)
        except StoreRefused:
            raise
        except StoreError as error:
            # the store of the results has nothing to do with it, and is not to be blamed
            kind = LedgerBusy if isinstance(error, StoreBusy) else LedgerError
            raise kind(str(error)) from error

    def note_finished(self, jobs: Sequence[Job]) -> None:
        """Note the ends of jobs whose results were stored by an earlier delivery.

        Jobs that have a result come from their follow-up: their end is noted with it.
        """
        results = [
            job.ended.result(job.task, job.attempt)
            for job in jobs
            if job.task.options.track is True and job.ended and job.result is None
        ]
        if not results:
            return
        try:
            if (tracker := self._services.make_tracker()) is not None:
                tracker.end(results)
        except Exception as error:  # noqa: BLE001 - it must not end the recorder
            logger.warning("ends of tracked tasks are not noted: %s", _told(error))

    def note_returned(self, jobs: Sequence[Job]) -> None:
        """Note that tracked tasks wait again."""
        ids = [job.task.id for job in jobs if job.task.options.track is True]
        if not ids:
            return
        try:
            if (tracker := self._services.make_tracker()) is not None:
                tracker.again(ids)
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning(
                "tracked tasks wait again, which is not noted: %s", _told(error)
            )


def _told(error: Exception) -> str:
    if isinstance(error, QcoreError):
        return str(error)
    return f"{type(error).__name__}: {mask_url(str(error))}"
