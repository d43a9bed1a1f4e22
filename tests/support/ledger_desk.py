"""A recorder over the real ledger, without threads: a test says when it has a turn."""

from __future__ import annotations

import msgspec
from support.fake_services import FakeServices

from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.deferred import Deferred
from qcore.engine.dispatcher.handover import Handover
from qcore.engine.dispatcher.recorder import Recorder
from qcore.engine.dispatcher.redelivered import Redelivered
from qcore.engine.dispatcher.suspects import Suspects
from qcore.errors import LedgerError
from qcore.ledger.settlement import Ledger
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current


class Breakable(Ledger):
    """The ledger, which can be told to fail."""

    def __init__(self, conf):
        super().__init__(conf)
        self.errors: list[LedgerError] = []
        self.refused: set[str] = set()
        self.is_away = False

    def settle(self, settlements, token):
        if self.errors:
            raise self.errors.pop(0)
        if self.is_away or any(
            one.settled.task.id in self.refused for one in settlements
        ):
            raise LedgerError("it does not take that")
        return super().settle(settlements, token)

    def look_up(self, ids):
        if self.is_away:
            raise LedgerError("away")
        return super().look_up(ids)

    def count_claims(self, gens):
        if self.is_away:
            raise LedgerError("away")
        return super().count_claims(gens)

    def ping(self):
        if self.is_away:
            raise LedgerError("away")


class Desk:
    """A recorder over the real tables, without a thread."""

    def __init__(self, name, /, *, store=None, **settings):
        self.fakes = FakeServices(name, **settings)
        self.fakes.broker.blocks = True
        if store is not None:
            self.fakes.store = store(self.fakes.conf)
        self.ledger = Breakable(current.conf)
        msgspec.structs.force_setattr(
            self.fakes.services, "make_ledger", lambda: self.ledger
        )
        self.recorder = Recorder(
            self.fakes.services, self.fakes.shared, self.fakes.ready
        )
        self.recorder._deliveries.open()

    def record(self, *jobs):
        for job in jobs:
            self.recorder.record(job)
        self.turn()

    def turn(self):
        """Record what waits, and what was postponed."""
        waits = self.recorder._waiting, self.recorder._postponed
        assert any(map(len, waits)), "it would wait for ever"
        self.recorder._once()

    def found(self, job):
        return self.fakes.store.fetch(job.task.id)


class Counter:
    """The pusher's part that sorts claimed jobs."""

    def __init__(self, desk):
        fakes = desk.fakes
        self.receiver = Receiver()
        handover = Handover(fakes.shared, Capacity(4), self.receiver)
        suspects = Suspects(fakes.services, fakes.shared, handover, lambda *_: None)
        self.late = Deferred(fakes.shared)
        self.sort = Redelivered(
            fakes.services, fakes.shared, handover, suspects, self.late
        ).sort


class Receiver:
    def __init__(self):
        self.finished, self.dropped = [], []

    def receive_finished(self, job, end):
        self.finished.append((job, end))

    def receive_dropped(self, job):
        self.dropped.append(job)


def tickets():
    values = Ticket.objects.values_list("task_id", "gen", "final")
    return {id: (gen, final) for id, gen, final in values}


def rows():
    return list(OutboxRow.objects.order_by("id"))
