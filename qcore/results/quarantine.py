"""Quarantine: packages that cannot be trusted or read, up to a number and a size.

Whoever can write to a queue can fill the table with forgeries. So only the newest packages
are kept, and one row says how many there were before them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING

from django.db import Error, transaction
from django.utils import timezone

from ..brokers.tools import chunks
from ..errors import StoreUnavailable
from ..models.quarantine import DROPPED, KEPT, MOST, MOST_BYTES, SHOWN, Quarantine
from .content import storable
from .failures import class_of
from .rows import clip

if TYPE_CHECKING:
    from django.db.models import QuerySet

logger = logging.getLogger("qcore.pusher")

#: Packages and bytes that come until the table is looked at again: that many more than
#: the bounds may be there, for each cluster.
_EVERY, _EVERY_BYTES = 50, 4 * 1024 * 1024
#: Rows that one look reads and drops at most, where there are a great many already.
_AT_ONCE = 10_000
#: The largest number of the column.
_LARGEST = 2**31 - 1


class QuarantineTable:
    """Puts packages into the table.

    Args:
        rows: the table, in the database that is written to.
    """

    def __init__(self, rows: QuerySet[Quarantine]) -> None:
        self._rows = rows
        self._count = _EVERY  # so that the first one looks
        self._bytes = 0

    def put(self, queue: str, package: bytes, reason: str, detail: str) -> None:
        """Keep a package, and drop the oldest ones where there are too many.

        What the database refuses is kept without what may be the cause: of the package
        only the beginning, of the texts only ASCII.
        """
        try:
            self._create(queue, package, reason, detail)
        except (Error, TypeError, ValueError, OverflowError) as error:
            if issubclass(class_of(error), StoreUnavailable):
                raise
            queue, reason, detail = map(_ascii, (queue, reason, detail))
            self._create(queue, package[:SHOWN], reason, detail, size=len(package))
        self._count += 1
        self._bytes += min(len(package), KEPT)
        if self._count >= _EVERY or self._bytes >= _EVERY_BYTES:
            self._count = self._bytes = 0
            try:
                self._keep_within()
            except (
                Error
            ) as error:  # the package is kept: who tries again keeps it twice
                logger.warning("quarantine is not kept within its bounds: %s", error)

    def count(self) -> int:
        """Return how many packages are kept.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        return self._rows.exclude(reason=DROPPED).count()

    def _create(
        self,
        queue: str,
        package: bytes,
        reason: str,
        detail: str,
        size: int | None = None,
    ) -> None:
        with self._whole():
            self._rows.create(
                queue=clip(queue, 255),
                reason=clip(reason, 64),
                detail=storable(detail),
                size=min(size or len(package), _LARGEST),
                package=package[:KEPT],
            )

    def _keep_within(self) -> None:
        kept = self._rows.exclude(reason=DROPPED).order_by("-at", "-pk")
        found = list(kept.values_list("pk", "size")[: MOST + _AT_ONCE])
        totals = accumulate(min(size, KEPT) for _, size in found)
        room = sum(total <= MOST_BYTES for total in totals)
        surplus = found[min(MOST, max(room, 1)) :]
        if not surplus:
            return
        with self._whole():
            for part in chunks(surplus, 500):
                self._rows.filter(pk__in=[pk for pk, _ in part]).delete()
            self._note(len(surplus), sum(size for _, size in surplus))

    def _note(self, count: int, size: int) -> None:
        """Say in a row of its own how many are not there any more."""
        before = self._rows.filter(reason=DROPPED).order_by("pk").first()
        if before is not None:
            count, size = count + before.count_dropped(), size + before.size
        fields = {
            "at": timezone.now(),
            "size": min(size, _LARGEST),
            "detail": (
                f"{count} older packages were dropped: quarantine keeps the newest"
                f" {MOST:,} packages, up to {MOST_BYTES // 2**20} MiB."
            ),
        }
        if before is None:
            self._rows.create(queue="", reason=DROPPED, package=b"", **fields)
        else:
            self._rows.filter(pk=before.pk).update(**fields)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        with transaction.atomic(self._rows.db):
            yield


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
