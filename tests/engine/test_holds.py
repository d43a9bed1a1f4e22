"""Renewing what running tasks hold; what could not be renewed does not run on."""

from __future__ import annotations

import itertools
import threading

import msgspec
import pytest
from support.fake_services import FakeServices
from support.stopped_clock import stop_time

from qcore.engine.dispatcher import holds as holds_module
from qcore.engine.dispatcher.holds import EVERY, Holds
from qcore.engine.dispatcher.job import HELD, LedgerPart
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.errors import LedgerError
from qcore.settled import TicketState

_queues = itertools.count(1)


class Keeping:
    """Plugins that hold something, with switches to break them."""

    renews = True

    def __init__(self):
        self.rounds = []
        self.lost = set()
        self.error = None
        self.closed = False

    def renew(self, claims):
        self.rounds.append([(claim.task.id, claim.start) for claim in claims])
        if self.error is not None:
            raise self.error
        return self.lost

    def close(self):
        self.closed = True


class Alarms:
    def __init__(self):
        self.count = 0

    def alarm(self):
        self.count += 1


class Desk:
    def __init__(self, clock):
        self.clock = clock
        self.fakes = FakeServices(f"holds {next(_queues)}", retry=600.0)
        self.keeping, self.alarms = Keeping(), Alarms()
        services = msgspec.structs.replace(
            self.fakes.services, make_features=lambda: self.keeping
        )
        self.holds = Holds(services, self.fakes.shared, self.alarms)

    def running(self, start=1, holds=True, needs=("limits",)):
        job = self.fakes.running(needs=needs)
        state = TicketState(starts=start, runs=start)
        job.ledger = LedgerPart(state, start=start, holds=holds)
        job.ledger.renewed_at = self.clock.at
        return job

    def round(self):
        self.holds.renew(self.keeping)


@pytest.fixture
def desk(monkeypatch):
    return Desk(stop_time(monkeypatch))


def test_what_has_started_is_renewed_and_nothing_else(desk):
    job = desk.running(start=3)
    plain, unheld = desk.fakes.running(), desk.running(holds=False)
    waits = desk.fakes.claim(needs=("limits",))
    desk.round()
    assert desk.keeping.rounds == [[(job.task.id, 3)]]
    assert not any(one.lost for one in (job, plain, unheld, waits))


def test_a_ledger_that_is_away_stops_no_task_that_holds_nothing(desk):
    """A unique task needs the ledger only at its end."""
    job = desk.running(holds=False)
    desk.keeping.error = LedgerError("away")
    desk.clock.advance(HELD + 1)
    desk.round()
    assert not job.lost


def test_an_idle_cluster_asks_nothing(desk):
    desk.fakes.shared.report_problem("holds", "of a job that has gone")
    desk.round()
    assert desk.keeping.rounds == []
    assert desk.fakes.shared.problems == {}


@pytest.mark.fault("L7")
def test_what_could_not_be_renewed_for_too_long_is_stopped(desk):
    """Before its hold ends: then another task may have its place."""
    old, young = desk.running(), desk.running()
    desk.keeping.error = LedgerError("away")
    desk.clock.advance(EVERY)
    desk.round()
    assert "away" in desk.fakes.shared.problems["holds"]
    young.ledger.renewed_at = desk.clock.at
    desk.clock.advance(HELD - EVERY + 1)
    desk.round()
    assert (old.lost, young.lost) == (True, False)
    assert desk.alarms.count
    desk.keeping.error = None
    desk.round()
    assert desk.fakes.shared.problems == {}
    assert desk.keeping.rounds[-1] == [(young.task.id, 1)]


def test_a_plugin_that_ends_the_thread_does_not(desk):
    desk.running()
    desk.keeping.error = SystemExit(3)
    desk.round()
    assert "holds" in desk.fakes.shared.problems


@pytest.mark.fault("L7")
@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3)])
def test_one_that_cannot_be_renewed_costs_no_other_its_hold(desk, monkeypatch, error):
    jobs = [desk.running() for _ in range(8)]
    culprit = jobs[5]

    def renew(claims):
        desk.keeping.rounds.append(len(claims))
        if any(claim.task.id == culprit.task.id for claim in claims):
            raise error
        return set()

    monkeypatch.setattr(desk.keeping, "renew", renew)
    desk.clock.advance(HELD + 1)
    desk.round()
    assert [job for job in jobs if job.lost] == [culprit]
    assert len(desk.keeping.rounds) <= 2 * 3 + 1, "halved, and not one by one"
    assert type(error).__name__ in desk.fakes.shared.problems["holds"]


@pytest.mark.fault("L7")
def test_a_plugin_that_renews_nothing_costs_no_task_of_another_its_hold(
    desk, monkeypatch
):
    jobs = [desk.running(needs=(name,)) for name in ("bad", "good") * 20]

    def renew(claims):
        desk.keeping.rounds.append(len(claims))
        if any("bad" in claim.task.needs for claim in claims):
            raise KeyError("tables")
        return set()

    monkeypatch.setattr(desk.keeping, "renew", renew)
    desk.clock.advance(HELD + 1)
    desk.round()
    assert {job.task.needs for job in jobs if job.lost} == {("bad",)}
    assert sum(job.lost for job in jobs) == 20
    assert len(desk.keeping.rounds) < 40, (
        "a plugin that is broken is not asked for each"
    )


def test_a_ledger_that_is_away_is_asked_once(desk):
    for _ in range(8):
        desk.running()
    desk.keeping.error = LedgerError("away")
    desk.round()
    assert len(desk.keeping.rounds) == 1


@pytest.mark.fault("L7")
def test_what_another_start_holds_is_stopped(desk):
    job, other = desk.running(start=1), desk.running(start=1)
    desk.keeping.lost = {(job.task.id, 1), (other.task.id, 2)}
    desk.round()
    assert (job.lost, other.lost) == (True, False)


def test_what_has_ended_waits_for_the_recorder(desk):
    """No worker is at it any more; its result counts."""
    job = desk.running()
    job.move(JobState.ENDED)
    desk.keeping.error = LedgerError("away")
    desk.clock.advance(HELD + 1)
    desk.round()
    assert not job.lost


class TestThread:
    def test_it_ends_where_no_plugin_holds_anything(self, desk, monkeypatch):
        monkeypatch.setattr(holds_module, "EVERY", 0.0)
        desk.keeping.renews = False
        desk.holds.run()

    def test_it_goes_on_after_an_error_and_ends_with_the_cluster(
        self, desk, monkeypatch
    ):
        monkeypatch.setattr(holds_module, "EVERY", 0.0)
        desk.running()
        renewed = threading.Event()
        makes = iter([LedgerError("away"), desk.keeping])

        def make():
            one = next(makes)
            if isinstance(one, Exception):
                raise one
            return one

        def renew(claims):
            renewed.set()
            return set()

        msgspec.structs.force_setattr(desk.holds._services, "make_features", make)
        monkeypatch.setattr(desk.keeping, "renew", renew)
        thread = threading.Thread(target=desk.holds.run)
        thread.start()
        try:
            assert renewed.wait(60)
        finally:
            desk.fakes.shared.ended.set()
            thread.join(60)
        assert desk.keeping.closed
