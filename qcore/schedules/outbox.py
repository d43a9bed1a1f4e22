"""The outbox: packages of slots that have fired and are not yet known to be sent.

A slot is written in the transaction that moves its schedule on, and sent after it. So
a slot is never lost, and sent twice only if a cluster dies between sending it and
noting that: its task has the same id then, and is recognised when it is done.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec
from django.db import connections, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.db.utils import Error
from django.utils import timezone

from ..brokers.priorities import enqueue_packages
from ..brokers.tools import chunks
from ..errors import BrokerError, BrokerUnavailable, PayloadTooLarge, QcoreError
from ..models import Schedule, ScheduleSlot
from ..runtime import current
from ..signing import peek
from .error_text import error_text

if TYPE_CHECKING:
    from ..brokers.base import Broker

logger = logging.getLogger("qcore.scheduler")

#: A slot that its cluster has not sent after so long is sent by any other.
STALE = dt.timedelta(seconds=10)

#: For so long a slot is remembered, so that it cannot fire again: longer than anybody
#: keeps the form of a schedule open, whose next_run may be stale when it is saved.
KEPT = dt.timedelta(days=1)

#: Slots that are sent, or forgotten, together ...
BATCH = 1000
#: ... and how often one call does the second: each takes milliseconds, and a cluster
#: that forgets for long is late for its schedules.
ROUNDS = 5

#: Bytes of packages that are sent together, unless a single one has more.
TICK_BYTES = 8 * 1024 * 1024

#: Slots that a queue has to refuse, one by one, to be taken for the reason itself.
FEW = 3

#: Seconds that a queue is left alone after a failure: at first, and at most.
FIRST = 0.2
LONGEST = 5.0


def unsent(slots: QuerySet[ScheduleSlot], now: dt.datetime) -> QuerySet[ScheduleSlot]:
    """Return the slots that are not sent, and that no living cluster is sending."""
    free = Q(claimed=None) | Q(claimed__lt=now - STALE)
    return slots.filter(free, sent=None)


class Outbox:
    """The unsent slots of one database."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._slots = ScheduleSlot.objects.using(database)
        self._rests: dict[str, Rest] = {}

    def check(self, queue: str, package: bytes) -> None:
        """Refuse a package that could not be sent, before its slot has fired.

        Raises:
            QcoreError: of the broker: its queue cannot have that name, the package is
                too large, or it has refused what was sent to this queue before.
        """
        rest = self._rests.get(queue)
        # with fewer, it may be them: a schedule more shows whether it is the queue
        if rest is not None and rest.refuses and rest.slots >= FEW:
            raise BrokerError(
                f"queue {queue!r} takes no tasks: {error_text(rest.error)}"
            )
        current.broker(queue).check_size([package])

    def send(self) -> bool:
        """Send the waiting slots, except the slots that another cluster is sending.

        What one queue refuses waits, and keeps no other queue waiting.

        Returns:
            Whether there is more to send now.

        Raises:
            BrokerUnavailable: no queue could be reached.
        """
        now = timezone.now()
        unsent_queues = unsent(self._slots, now).order_by().values_list("queue")
        waits, reached, away = False, False, None
        for (queue,) in list(unsent_queues.distinct()):
            if queue in self._rests and self._rests[queue].until > time.monotonic():
                continue
            slots = self._claim(queue, now)
            try:
                self._send_queue(current.broker(queue), slots)
            except Error:
                raise  # the database is away; what is claimed comes back when stale
            except Exception as error:  # noqa: BLE001 - a broker may be a stranger's
                self._release(slots)
                self._rest(queue, slots, error)
                away = away or (error if isinstance(error, BrokerUnavailable) else None)
            else:
                reached = True
                self._rests.pop(queue, None)
                waits = waits or len(slots) == BATCH or _is_large(slots)
        if away is not None and not reached:
            self._rests = {key: one for key, one in self._rests.items() if one.refuses}
            raise away
        return waits

    def forget(self) -> bool:
        """Delete slots that were sent so long ago that they cannot come again.

        Returns:
            Whether there are more: it deletes ROUNDS times BATCH of them at most.
        """
        old = self._slots.filter(sent__lt=timezone.now() - KEPT)
        for _ in range(ROUNDS):
            ids = list(old.order_by("sent").values_list("pk", flat=True)[:BATCH])
            self._slots.filter(pk__in=ids).delete()
            if len(ids) < BATCH:
                return False
        return True

    # -- taking ------------------------------------------------------------------
    def _claim(self, queue: str, now: dt.datetime) -> list[ScheduleSlot]:
        """Take unsent slots; of two clusters that want the same one, one gets it."""
        free = unsent(self._slots, now).filter(queue=queue).order_by("slot", "pk")
        sized = free.annotate(size=Length("package"))
        columns = ("pk", "claimed", "size")
        if not connections[self._database].features.has_select_for_update_skip_locked:
            found = _bounded(sized.values_list(*columns)[:BATCH])
            with transaction.atomic(self._database):
                mine = [pk for pk, seen in found if self._claim_one(pk, seen, now)]
        else:
            # Two statements for all of them: one by one, a thousand took 1.5 s, and as
            # long again in each other cluster, which found them all taken.
            with transaction.atomic(self._database):
                locked = sized.select_for_update(skip_locked=True)
                mine = [pk for pk, _ in _bounded(locked.values_list(*columns)[:BATCH])]
                self._slots.filter(pk__in=mine).update(claimed=now)
        return list(self._slots.filter(pk__in=mine).order_by("slot", "pk"))

    def _claim_one(self, pk: int, seen: dt.datetime | None, now: dt.datetime) -> bool:
        same = self._slots.filter(pk=pk, claimed=seen, sent=None)
        return same.update(claimed=now) > 0

    def _release(self, slots: Sequence[ScheduleSlot]) -> None:
        ids = [slot.pk for slot in slots]
        self._slots.filter(pk__in=ids, sent=None).update(claimed=None)

    # -- sending -----------------------------------------------------------------
    def _send_queue(self, broker: Broker, slots: Sequence[ScheduleSlot]) -> None:
        for part in chunks(slots, broker.max_batch):
            try:
                self._send_part(broker, part)
            except Error:
                raise
            except Exception as error:
                if isinstance(error, BrokerUnavailable) and not self._answers(broker):
                    raise
                self._send_each(broker, part)

    def _send_part(self, broker: Broker, slots: Sequence[ScheduleSlot]) -> None:
        # The ORM broker in this very database: sent and noted, or neither.
        shared = broker.database == self._database
        with transaction.atomic(self._database) if shared else nullcontext():
            enqueue_packages(broker, [bytes(slot.package) for slot in slots])
            self._mark(slots)
        registry = current.registry
        if registry.observed("qcore_task_enqueued"):
            for slot in slots:
                registry.notify("qcore_task_enqueued", task=peek(bytes(slot.package)))

    def _send_each(self, broker: Broker, slots: Sequence[ScheduleSlot]) -> None:
        """Send what was refused together one by one; the ones that are the reason stay.

        Raises:
            Exception: what the broker raised, where it takes none of them.
        """
        refused: list[tuple[ScheduleSlot, Exception]] = []
        # in any order: the same few at the head must not hide that the others go
        for slot in random.sample(list(slots), len(slots)):
            try:
                self._send_part(broker, [slot])
            except Error:
                raise
            except PayloadTooLarge as error:
                self._give_up(slot, error)
            except Exception as error:
                refused.append((slot, error))
                if len(refused) == min(FEW, len(slots)):
                    raise
        for slot, reason in refused:
            if not isinstance(reason, BrokerUnavailable):
                self._give_up(slot, reason)

    def _answers(self, broker: Broker) -> bool:
        """Return whether a service that has just failed is there."""
        rest = self._rests.get(broker.queue)
        if rest is None or rest.failures < FEW:
            return False
        try:
            return broker.ping()
        except Exception:  # noqa: BLE001 - it is away: what it raised says the same
            return False

    # -- what is not sent ----------------------------------------------------------
    def _mark(self, slots: Sequence[ScheduleSlot]) -> None:
        """Note that slots are done with; the rows stay as the marks of their slots."""
        ids = [slot.pk for slot in slots]
        self._slots.filter(pk__in=ids).update(sent=timezone.now(), package=b"")

    def _give_up(self, slot: ScheduleSlot, error: Exception) -> None:
        """Note on the schedule why a slot can never be sent."""
        logger.error(
            "scheduled task %s is not sent: %s", slot.task_id, error_text(error)
        )
        self._mark([slot])
        self._note([slot], f"{slot.slot.isoformat()} is not sent: {error_text(error)}")

    def _rest(
        self, queue: str, slots: Sequence[ScheduleSlot], error: Exception
    ) -> None:
        """Let a queue that has failed wait, longer each time."""
        before = self._rests.get(queue)
        failures = before.failures + 1 if before is not None else 1
        pause = min(FIRST * 2 ** min(failures - 1, 10), LONGEST)
        self._rests[queue] = Rest(failures, len(slots), time.monotonic() + pause, error)
        if isinstance(error, QcoreError):
            logger.warning("%d scheduled tasks wait for queue %r: %s",
                           len(slots), queue, error_text(error))  # fmt: skip
        else:
            logger.error("%d scheduled tasks wait for queue %r",
                         len(slots), queue, exc_info=error)  # fmt: skip
        if self._rests[queue].refuses:
            self._note(slots, f"waits for queue {queue!r}: {error_text(error)}")

    def _note(self, slots: Sequence[ScheduleSlot], text: str) -> None:
        keys = {slot.schedule_id for slot in slots if slot.schedule_id is not None}
        rows = Schedule.objects.using(self._database)
        try:
            with transaction.atomic(self._database):
                rows.filter(pk__in=keys).update(error=text)
        except Error as error:
            # it is in the log already, and the slots come first
            logger.warning(
                "the error cannot be written to the schedules: %s", error_text(error)
            )


class Rest(msgspec.Struct):
    """Why and how long a queue is left alone."""

    failures: int  # in a row
    slots: int  # that wait
    until: float  # on this machine's monotonic clock
    error: Exception

    @property
    def refuses(self) -> bool:
        """Whether trying again will not help."""
        return not isinstance(self.error, BrokerUnavailable)


def _bounded(
    found: Iterable[tuple[int, dt.datetime | None, int]],
) -> list[tuple[int, dt.datetime | None]]:
    """Return the first rows whose packages are at most TICK_BYTES, and one at least."""
    kept: list[tuple[int, dt.datetime | None]] = []
    room = TICK_BYTES
    for pk, seen, size in found:
        if kept and size > room:
            break
        kept.append((pk, seen))
        room -= size
    return kept


def _is_large(slots: Sequence[ScheduleSlot]) -> bool:
    """Return whether there may be more than was claimed, for its size."""
    return sum(len(slot.package) for slot in slots) > TICK_BYTES / 2
