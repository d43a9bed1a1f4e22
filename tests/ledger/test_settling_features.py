"""Plugins learn how tasks end in the transaction of the result, and before the acknowledgement."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from ledger.test_settling import Desk, quick, transitions  # noqa: F401
from support.feature_plugins import FeaturePluginsOfATest

from qcore.engine.dispatcher.lifecycle import JobState
from qcore.envelope import Attempt, Outcome
from qcore.errors import LedgerError
from qcore.ledger.settlement import Ledger
from qcore.models import Ticket
from qcore.results.orm import OrmStore
from qcore.runtime import current


class Told:
    """A plugin that writes a ticket of its own for each end, so that a rollback shows."""

    def __init__(self):
        self.batches = []
        self.bad = {}  # id -> what is raised

    def qcore_settle(self, settled):
        self.batches.append(list(settled))
        for one in settled:
            id = f"told {one.task.id}"[:32]
            Ticket.objects.get_or_create(task_id=id, defaults={"final": "told"})
        for one in settled:
            if one.task.id in self.bad:
                raise self.bad[one.task.id]

    @property
    def kept(self):
        found = Ticket.objects.filter(final="told").values_list("task_id", flat=True)
        return {id.removeprefix("told ") for id in found}


@pytest.fixture
def told(monkeypatch):
    told = Told()

    def qcore_settle(settled):
        told.qcore_settle(settled)

    FeaturePluginsOfATest(monkeypatch).add("limits", qcore_settle=qcore_settle)
    yield told
    current.reset()


@pytest.fixture(params=["memory", "orm"])
def desk(request, transactional_db, told):
    store = OrmStore if request.param == "orm" else None
    desk = Desk(f"features {request.node.name}", store=store)
    desk.ledger._plugins = current.registry.features
    assert isinstance(desk.ledger, Ledger)
    return desk


def short(job):
    return job.task.id[:27]


def test_an_end_is_told_once_with_its_outcome(desk, told):
    plain, good = desk.fakes.ended(), desk.fakes.ended(needs=("limits",))
    bad = desk.fakes.ended(Outcome.FAILURE, b"ValueError: x", needs=("limits",))
    desk.record(plain, good, bad)
    ((first, second),) = told.batches
    assert (first.task.id, first.outcome, first.final) == (
        good.task.id,
        "success",
        True,
    )
    assert (second.outcome, second.final, second.again) == ("failure", False, 30.0)
    assert told.kept == {short(good), short(bad)}
    assert good.state is JobState.SETTLED


@pytest.mark.fault("J15")
@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3)], ids=repr)
def test_a_plugin_that_fails_for_one_task_stops_no_other(desk, told, error):
    plain = desk.fakes.ended()
    jobs = [desk.fakes.ended(needs=("limits",)) for _ in range(4)]
    told.bad[jobs[2].task.id] = error
    desk.record(plain, *jobs)
    others = [plain, jobs[0], jobs[1], jobs[3]]
    assert {job.state for job in others} == {JobState.SETTLED}
    assert jobs[2].state is JobState.ENDED
    assert jobs[2] in desk.fakes.shared.held, "so its lease is renewed"
    assert told.kept == {short(job) for job in jobs if job is not jobs[2]}
    (problem,) = desk.fakes.shared.problems.values()
    assert "plugin 'limits' failed in qcore_settle" in problem
    assert desk.fakes.claimed == 1
    told.bad.clear()
    desk.turn()
    assert jobs[2].state is JobState.SETTLED
    assert short(jobs[2]) in told.kept
    assert desk.fakes.shared.problems == {}


def test_a_database_that_fails_in_a_plugin_is_tried_again(desk, told):
    job = desk.fakes.ended(needs=("limits",))
    told.bad[job.task.id] = OperationalError("gone away")
    desk.record(job)
    assert job.state is JobState.ENDED
    assert told.kept == set()
    told.bad.clear()
    desk.turn()
    assert job.state is JobState.SETTLED


def test_what_is_given_back_is_told(desk, told):
    waiting = desk.fakes.waiting_job(needs=("limits",))
    running, plain = desk.fakes.running(needs=("limits",)), desk.fakes.running()
    for job in (waiting, running, plain):
        desk.recorder.give_back(job)
    desk.turn()
    ((first, second),) = told.batches
    assert (first.unstarted, second.unstarted) == (True, False)
    assert {one.outcome for one in (first, second)} == {"stopped"}
    assert not (first.final or second.final)
    assert {job.state for job in (waiting, running, plain)} == {JobState.RELEASED}


def test_a_plugin_that_fails_then_keeps_nothing_here(desk, told):
    jobs = [desk.fakes.running(needs=("limits",)) for _ in range(2)]
    told.bad[jobs[0].task.id] = KeyError("x")
    for job in jobs:
        desk.recorder.give_back(job)
    desk.turn()
    assert {job.state for job in jobs} == {JobState.RELEASED}
    assert told.kept == {short(jobs[1])}


def recognised(desk, **fields):
    """Return a job whose success an earlier delivery has stored."""
    job = desk.fakes.claim(needs=("limits",), **fields)
    job.ended = Attempt(Outcome.SUCCESS, b"7", "json", 1.0, 2.0)
    return job


@pytest.mark.fault("L2")
def test_an_end_that_was_stored_before_is_told(desk, told):
    """Results may be elsewhere: a kill may have come before the plugins were told."""
    jobs = [recognised(desk), recognised(desk)]
    for job in jobs:
        desk.recorder.finish(job)
    desk.turn()
    ((first, second),) = told.batches
    assert {one.task.id for one in (first, second)} == {job.task.id for job in jobs}
    assert first.final
    assert first.outcome == "success"
    assert [job.state for job in jobs] == [JobState.SETTLED] * 2
    assert told.kept == {short(job) for job in jobs}
    assert desk.fakes.claimed == 0


@pytest.mark.fault("J15")
def test_a_plugin_that_fails_then_leaves_that_delivery_to_its_lease(desk, told):
    good, bad = recognised(desk), recognised(desk)
    told.bad[bad.task.id] = KeyError("x")
    for job in (good, bad):
        desk.recorder.finish(job)
    desk.turn()
    assert (good.state, bad.state) == (JobState.SETTLED, JobState.LEFT)
    assert told.kept == {short(good)}
    assert desk.fakes.claimed == 1


def test_a_ledger_that_is_away_then_is_asked_once(desk, told, monkeypatch):
    jobs = [recognised(desk) for _ in range(3)]
    monkeypatch.setattr(type(desk.ledger), "ping", away)
    desk.ledger.is_away = True
    for job in jobs:
        desk.recorder.finish(job)
    desk.turn()
    assert [job.state for job in jobs] == [JobState.LEFT] * 3
    assert desk.fakes.claimed == 3


def away(self):
    raise LedgerError("away")
