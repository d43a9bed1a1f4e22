"""The relay: sends what is due in the outbox to the broker of one queue.

Each cluster sends the packages of its own queue: it has the settings of the broker that
will hand them out. At least once: a row is deleted after its package was sent, and where
the broker is that very database, in one transaction with it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.utils import Error

from ..brokers.priorities import enqueue_packages
from ..brokers.tools import pack
from ..envelope import new_id
from ..errors import BrokerError, BrokerUnavailable, StoreError
from ..masking import mask_url
from ..models.missing_tables import migrate_advice
from ..runtime import current
from ..signing import peek
from .outbox import TERM, Claimed, Outbox
from .tickets import LOST, PRUNED, Tickets
from .tracked import Tracker

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..conf import Conf

logger = logging.getLogger("qcore.relay")

#: Seconds between two looks at the outbox at most. Its own share of that is left to
#: chance in each look, so that twenty clusters do not ask together.
LOOK, _SHARE = 2.0, 0.25
#: Seconds between two looks at the tracked tasks that ended long ago.
PRUNE = 60.0
#: Seconds between two looks at tasks that have not ended, and may be lost.
PRUNE_LOST = 600.0
#: Seconds until tables that are not there are looked for again.
AWAY = 30.0
#: Rows and bytes that are claimed together ...
BATCH, BATCH_BYTES = 1000, 8 * 1024 * 1024
#: ... and seconds of a claim after which nothing more of it is begun.
LATEST = TERM * 2 / 3
#: Packages that a broker has to refuse, one by one, to be taken for the reason itself;
#: and failures in a row before a broker is asked whether it is there at all.
FEW = 3
#: Seconds until a row is tried again whose broker was away, and, doubled each time, one
#: that the broker has refused.
PAUSE, FIRST, LONGEST = 0.5, 2.0, 3600.0


class Relay:
    """Sends the packages of one queue that are due, for one thread.

    Args:
        conf: the settings of the cluster.
    """

    def __init__(self, conf: Conf) -> None:
        self._conf = conf
        self._outbox = Outbox(conf)
        self._tracker = Tracker(conf)
        self._tickets = Tickets(self._outbox.database)
        self._prune_at = self._prune_lost_at = 0.0  # monotonic
        self._last = ""  # the ticket that was looked at last
        self._failures = 0  # of the broker, in a row

    def tick(self) -> float:
        """Send a batch of what is due.

        Returns:
            Seconds until the next call: 0 where more is due.

        Raises:
            BrokerError: the broker cannot be reached, or takes nothing.
            StoreError: the database of the outbox cannot be reached.
        """
        with self._errors():
            if not self._outbox.is_ready:
                return AWAY
            self._prune()
            # nearly always this is all that an idle cluster does
            ahead = self._outbox.next_due(self._conf.queue)
            if ahead is not None and ahead <= 0:
                self._send_batch()
                return 0.0
            longest = LOOK * (1 - random.uniform(0, _SHARE))  # noqa: S311 - no secret
            return longest if ahead is None else min(longest, ahead)

    def next_due(self) -> float | None:
        """Return the seconds until the first package is due, negative where it is; or None.

        Raises:
            StoreError: the database of the outbox cannot be reached.
        """
        with self._errors():
            return self._outbox.next_due(self._conf.queue)

    def _prune(self) -> None:
        """Delete, from time to time, tracked tasks and tickets that ended long ago."""
        now = time.monotonic()
        if now < self._prune_at:
            return
        # first: what cannot be deleted, for whatever reason, must not keep tasks waiting
        self._prune_at = now + PRUNE
        has_more = False
        parts = [self._prune_tracked, self._prune_tickets]
        if now >= self._prune_lost_at:
            self._prune_lost_at = now + PRUNE_LOST
            parts += [self._forget_lost, self._prune_lost]
        for prune in parts:
            try:
                has_more |= prune()
            except (Error, StoreError) as error:
                self._outbox.close_if_unusable()
                logger.warning(
                    "old rows of the ledger are not deleted now: %s: %s",
                    type(error).__name__, mask_url(str(error)),
                )  # fmt: skip
        if has_more:
            self._prune_at = now

    def _prune_tracked(self) -> bool:
        return self._tracker.prune(self._conf.keep_tracked)

    def _prune_tickets(self) -> bool:
        return self._tickets.prune() == PRUNED

    def _forget_lost(self) -> bool:
        lost = self._tracker.forget_lost(max(LOST, self._conf.keep_tracked))
        if lost:
            logger.warning(
                "%d tracked tasks are forgotten that nobody has seen for %.0f days: %s",
                len(lost), LOST / 86400, ", ".join(lost[:10]),
            )  # fmt: skip
        return False

    def _prune_lost(self) -> bool:
        self._last, _ = self._tickets.prune_lost(self._last)
        return False

    def close(self) -> None:
        """Let the connections of this thread go."""
        self._outbox.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Error as error:
            self._outbox.close_if_unusable()
            database = self._outbox.database
            migrate = migrate_advice(error, database)
            raise StoreError(
                f"cannot send the packages in the outbox of database {database!r}:"
                f" {type(error).__name__}: {error}{migrate and f'. {migrate}'}"
            ) from error

    # -- one batch ---------------------------------------------------------------
    def _send_batch(self) -> None:
        began, token = time.monotonic(), new_id()
        broker = current.broker(self._conf.queue)
        rows = self._outbox.claim(
            self._conf.queue, token, limit=BATCH, size=BATCH_BYTES
        )
        left = list(rows)
        try:
            for part in pack(
                rows,
                count=max(1, broker.max_batch),
                size=BATCH_BYTES,
                measure=lambda row: len(row.package),
            ):
                if time.monotonic() - began > LATEST:
                    break  # another relay may have the rest by the time it is sent
                self._send_part(broker, token, part)
                del left[: len(part)]
        except Error:
            raise  # the database is away; what is claimed is free again after a while
        except BaseException:
            self._give_back(token, left, PAUSE)
            raise
        self._give_back(token, left, 0)
        self._failures = 0

    def _give_back(self, token: str, rows: Sequence[Claimed], seconds: float) -> None:
        # those of them that were sent, or put off, are not held any more
        if rows:
            self._outbox.put_off(token, [row.id for row in rows], seconds)

    def _send_part(self, broker: Broker, token: str, rows: Sequence[Claimed]) -> None:
        try:
            self._send(broker, token, rows)
        except Error:
            raise
        except Exception as error:
            rest = self._without_stored(broker, token, rows, error)
            if isinstance(error, BrokerUnavailable):
                self._failures += 1
                if self._failures < FEW or not _answers(broker):
                    raise
            self._send_each(broker, token, rest)

    def _send(self, broker: Broker, token: str, rows: Sequence[Claimed]) -> None:
        """Send rows and delete them, in this order."""
        shared = broker.database == self._outbox.database
        with transaction.atomic(broker.database) if shared else nullcontext():
            _enqueue(broker, [row.package for row in rows])
            self._outbox.delete(token, [row.id for row in rows])
        registry = current.registry
        if registry.observed("qcore_task_enqueued"):
            for row in rows:
                try:
                    task = peek(row.package)
                except Exception as error:  # noqa: BLE001 - clusters put it aside
                    logger.warning(
                        "%s was sent, and is no package: %s", row.task_id, error
                    )
                    continue
                registry.notify("qcore_task_enqueued", task=task)

    def _without_stored(
        self, broker: Broker, token: str, rows: Sequence[Claimed], error: Exception
    ) -> Sequence[Claimed]:
        """Delete the rows that a failed call has sent, and return the others."""
        stored = error.stored if isinstance(error, BrokerError) else 0
        if not stored or broker.database == self._outbox.database:
            return rows  # in that database, a call that fails has sent nothing
        self._outbox.delete(token, [row.id for row in rows[:stored]])
        return rows[stored:]

    # -- what is refused -----------------------------------------------------------
    def _send_each(self, broker: Broker, token: str, rows: Sequence[Claimed]) -> None:
        """Send what was refused together one by one; the ones that are the reason wait.

        Raises:
            Exception: what the broker raised, where it takes none of them.
        """
        refused: list[tuple[Claimed, Exception]] = []
        taken = 0
        # in any order: the same few at the head must not hide that the others go
        for row in random.sample(list(rows), len(rows)):
            try:
                self._send(broker, token, [row])
            except Error:
                raise
            except Exception as error:
                refused.append((row, error))
                if not taken and len(refused) == FEW < len(rows):
                    raise
            else:
                taken += 1
        for row, reason in refused:
            wait = min(FIRST * 2 ** min(row.tries, 20), LONGEST)
            self._outbox.put_off(token, [row.id], wait)
            logger.error(
                "task %s stays in the outbox, and is sent again in %.0f s: %s: %s",
                row.task_id, wait, type(reason).__name__, mask_url(str(reason)),
            )  # fmt: skip


def _enqueue(broker: Broker, packages: Sequence[bytes]) -> None:
    """Send packages.

    Raises:
        BrokerError: the broker does not take them; so it says in the words of Django, too,
            which here would say that the outbox is away.
    """
    try:
        enqueue_packages(broker, packages)
    except Error as error:
        raise BrokerError(f"{type(error).__name__}: {str(error).strip()}") from error


def _answers(broker: Broker) -> bool:
    """Return whether a service that has just failed is there."""
    try:
        return broker.ping()
    except Exception:  # noqa: BLE001 - it is away: what it raised says the same
        return False
