"""The outbox: packages of slots that have fired and are not yet known to be sent.

A slot is written in the transaction that moves its schedule on, and sent after it. So
a slot is never lost, and sent twice only if a cluster dies between sending it and
noting that: its task has the same id then, and is recognised when it is done.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ..current import current
from ..errors import BrokerError, PayloadTooLarge
from ..models import Schedule, ScheduleSlot
from ..signing import peek

if TYPE_CHECKING:
    from ..brokers.base import Broker

logger = logging.getLogger("qcore.scheduler")

#: A slot that its cluster has not sent after so long is sent by any other.
STALE = dt.timedelta(seconds=10)

#: For so long a slot is remembered, so that it cannot fire again: longer than anybody
#: keeps the form of a schedule open, whose next_run may be stale when it is saved.
KEPT = dt.timedelta(days=1)

#: Slots that one call sends, and that one call forgets.
BATCH = 1000


def unsent(slots: QuerySet[ScheduleSlot], now: dt.datetime) -> QuerySet[ScheduleSlot]:
    """Return those slots that nobody has sent, and that no living cluster is about to."""
    free = Q(claimed=None) | Q(claimed__lt=now - STALE)
    return slots.filter(free, sent=None)


class Outbox:
    """The unsent slots of one database."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._slots = ScheduleSlot.objects.using(database)

    def send(self) -> None:
        """Send what is there and is not being sent by another cluster.

        Raises:
            BrokerError: of the first queue that failed; the others have been sent.
        """
        queues: dict[str, list[ScheduleSlot]] = {}
        for slot in self._claim():
            queues.setdefault(slot.queue, []).append(slot)
        failed: BrokerError | None = None
        for queue, slots in queues.items():
            try:
                self._send_queue(current.broker(queue), slots)
            except BrokerError as error:
                logger.warning("%d scheduled tasks wait for queue %s: %s",
                               len(slots), queue, error)  # fmt: skip
                self._release(slots)
                failed = failed or error
        if failed is not None:
            raise failed

    def forget(self) -> None:
        """Delete slots that were sent so long ago that they cannot come again."""
        old = self._slots.filter(sent__lt=timezone.now() - KEPT)
        ids = list(old.order_by("sent").values_list("pk", flat=True)[:BATCH])
        self._slots.filter(pk__in=ids).delete()

    def _claim(self) -> list[ScheduleSlot]:
        """Take unsent slots; of two clusters that want the same one, one gets it."""
        now = timezone.now()
        free = unsent(self._slots, now).order_by("slot", "pk")
        if not connections[self._database].features.has_select_for_update_skip_locked:
            found = list(free[:BATCH])
            with transaction.atomic(self._database):
                return [slot for slot in found if self._claim_one(slot, now)]
        # Two statements for all of them: one by one, a thousand took 1.5 s, and as
        # long again in each other cluster, which found them all taken.
        with transaction.atomic(self._database):
            found = list(free.select_for_update(skip_locked=True)[:BATCH])
            self._slots.filter(pk__in=[slot.pk for slot in found]).update(claimed=now)
        return found

    def _claim_one(self, slot: ScheduleSlot, now: dt.datetime) -> bool:
        same = self._slots.filter(pk=slot.pk, claimed=slot.claimed, sent=None)
        return same.update(claimed=now) > 0

    def _send_queue(self, broker: Broker, slots: Sequence[ScheduleSlot]) -> None:
        for start in range(0, len(slots), broker.max_batch):
            part = slots[start : start + broker.max_batch]
            # The ORM broker in this very database: sent and noted, or neither.
            shared = broker.database == self._database
            with transaction.atomic(self._database) if shared else nullcontext():
                sent = self._send_part(broker, part)
                ids = [slot.pk for slot in sent]
                # the package has served; the row stays as the mark of its slot
                self._slots.filter(pk__in=ids).update(sent=timezone.now(), package=b"")

    def _send_part(
        self, broker: Broker, slots: Sequence[ScheduleSlot]
    ) -> Sequence[ScheduleSlot]:
        try:
            broker.enqueue_many([bytes(slot.package) for slot in slots])
        except PayloadTooLarge as error:
            if len(slots) == 1:
                self._give_up(slots[0], error)
                return slots
            for slot in slots:
                self._send_part(broker, [slot])
            return slots
        registry = current.registry
        if registry.observed("qcore_task_enqueued"):
            for slot in slots:
                registry.notify("qcore_task_enqueued", task=peek(bytes(slot.package)))
        return slots

    def _give_up(self, slot: ScheduleSlot, error: BrokerError) -> None:
        """Note on the schedule why a slot can never be sent."""
        logger.error("scheduled task %s is not sent: %s", slot.task_id, error)
        if slot.schedule_id is not None:
            rows = Schedule.objects.using(self._database).filter(pk=slot.schedule_id)
            rows.update(error=f"{slot.slot.isoformat()}: {error}")

    def _release(self, slots: Sequence[ScheduleSlot]) -> None:
        ids = [slot.pk for slot in slots]
        self._slots.filter(pk__in=ids, sent=None).update(claimed=None)
