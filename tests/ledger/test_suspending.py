"""A task that is suspended: its row, its ticket, and who is told, before it is acknowledged."""

from __future__ import annotations

import pytest
from support.feature_plugins import FeaturePluginsOfATest
from support.ledger_desk import Desk, rows, tickets

from qcore.engine.dispatcher.job import LedgerPart
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.envelope import Attempt, Outcome
from qcore.errors import Suspend
from qcore.models import OutboxRow
from qcore.results.orm import OrmStore
from qcore.running import RUNNING, SUSPENDS, can_suspend
from qcore.runtime import current
from qcore.settled import TicketState
from qcore.signing import peek
from qcore.tasks import cancel, status
from qcore.tasks.calls import build
from qcore.tasks.retry_policy import judge

NEEDS = ("sleepy",)


class Told(list):
    def __init__(self):
        self.wakes = set()


@pytest.fixture
def told(monkeypatch):
    """What the plugin was told; it wakes at once the tasks in ``told.wakes``."""

    told = Told()

    def qcore_settle(settled):
        told.extend(settled)
        current.ledger.wake(
            "sleepy", [one.task.id for one in settled if one.task.id in told.wakes]
        )

    FeaturePluginsOfATest(monkeypatch).add("sleepy", qcore_settle=qcore_settle)
    yield told
    current.reset()


@pytest.fixture
def desk(request, transactional_db, told):
    desk = Desk(request.node.name, store=OrmStore)
    desk.ledger._plugins = current.registry.features
    return desk


def suspended(desk, again, *, gen=0, **fields):
    job = desk.fakes.running(needs=NEEDS, gen=gen, **fields)
    job.ended = Attempt.failed(
        Outcome.SUSPENDED, "", 1.0, 2.0, again=again, how="sleepy"
    )
    if gen:
        job.ledger = LedgerPart(TicketState(gen=gen, runs=4))
    return job


@pytest.mark.parametrize("again", [None, 60.0, 0.0])
def test_its_package_is_a_row_that_the_plugin_holds(desk, told, again):
    job = suspended(desk, again)
    desk.record(job)
    assert (job.state, desk.fakes.claimed) == (JobState.SETTLED, 0)
    (row,) = rows()
    assert (row.task_id, row.gen, row.claimed) == (job.task.id, 1, None)
    assert row.held_by == "sleepy:suspended"
    assert (row.due is None) == (again is None)
    assert (peek(bytes(row.package)).gen, peek(bytes(row.package)).needs) == (1, NEEDS)
    assert tickets() == {job.task.id: (1, None)}
    (one,) = told
    assert (one.outcome, one.final, one.again) == ("suspended", False, again)
    assert desk.found(job) is None
    assert status(job.task.id) == "suspended"


def test_what_has_started_in_time_does_not_expire(desk, told):
    desk.record(suspended(desk, None, expires=4e9))
    assert peek(bytes(rows()[0].package)).expires is None


def test_it_is_no_end_for_anybody(desk, told):
    job = suspended(desk, 60.0, hook="chores.hooks.note")
    desk.record(job)
    assert job.state is JobState.SETTLED
    assert desk.fakes.ready.jobs == []
    assert (desk.fakes.shared.succeeded, desk.fakes.shared.failed) == (0, 0)


def test_its_attempts_count_anew(desk, told):
    job = suspended(desk, 60.0, gen=3)
    desk.record(job)
    (row,) = rows()
    assert row.gen == 4
    from qcore.models import Ticket

    assert Ticket.objects.get().runs == 0


@pytest.mark.fault("S4")
def test_what_happens_before_the_commit_wakes_it(desk, told):
    """The plugin finds it while it is told: there is no moment between the two."""
    job = suspended(desk, None)
    told.wakes.add(job.task.id)
    desk.record(job)
    (row,) = rows()
    assert row.held_by is None
    assert row.due is not None
    assert rows()[0].due <= current.ledger.now()


@pytest.mark.fault("S4")
def test_a_ledger_that_is_away_keeps_the_delivery(desk, told):
    job = suspended(desk, None)
    desk.ledger.is_away = True
    desk.record(job)
    assert (job.state, desk.fakes.claimed, rows()) == (JobState.ENDED, 1, [])
    desk.ledger.is_away = False
    desk.turn()
    assert (job.state, desk.fakes.claimed, len(rows())) == (JobState.SETTLED, 0, 1)


def test_only_what_the_plugin_holds_is_woken(desk, told):
    jobs = [suspended(desk, None) for _ in range(3)]
    desk.record(*jobs)
    ids = [job.task.id for job in jobs]
    assert current.ledger.wake("other", ids) == set()
    assert current.ledger.wake("sleepy", ids[:2]) == set(ids[:2])
    assert current.ledger.wake("sleepy", ids[:2]) == set()
    assert OutboxRow.objects.filter(due=None).get().task_id == ids[2]


def test_one_that_is_cancelled_is_sent_and_ends_at_its_claim(desk, told):
    job = suspended(desk, None)
    desk.record(job)
    cancel(job.task.id)
    assert rows()[0].due <= current.ledger.now()


def test_an_attempt_that_got_further_is_the_first_one(desk, told):
    job = desk.fakes.running(needs=NEEDS)
    job.ledger = LedgerPart(TicketState(runs=4))
    job.ended = Attempt.failed(
        Outcome.FAILURE, "E: no", 1.0, 2.0, again=5.0, fresh=True
    )
    desk.record(job)
    (row,) = rows()
    from qcore.models import Ticket

    assert (row.gen, Ticket.objects.get().runs) == (1, 1)
    assert desk.found(job).attempt_count == 1


def test_a_delivery_that_is_put_off_is_no_start(desk, told):
    job = desk.fakes.running(needs=NEEDS)
    job.again = 7.0
    desk.recorder.give_back(job)
    desk.turn()
    assert job.state is JobState.RELEASED
    assert (desk.fakes.waiting, desk.fakes.claimed) == (1, 0)
    assert desk.fakes.broker.dequeue(1) == []  # not yet
    (one,) = told
    assert (one.outcome, one.unstarted) == ("stopped", True)


# -- what a worker says ------------------------------------------------------------------
@pytest.fixture
def running():
    task = build("math.sqrt", (4,))
    token = RUNNING.set((task, 1, 0.0, current.conf))
    yield task
    RUNNING.reset(token)


def test_a_task_that_needs_nobody_cannot_be_suspended(running):
    found = judge(running, 1, Suspend("sleepy"))
    assert (found.outcome, found.how) == ("failure", "dead")
    assert "does not need the plugin 'sleepy'" in found.note


def test_a_task_in_its_caller_cannot_be_suspended(running):
    assert can_suspend()
    token = SUSPENDS.set(False)
    found = judge(running, 1, Suspend("sleepy"))
    SUSPENDS.reset(token)
    assert (found.outcome, found.how) == ("failure", "dead")
    assert "runs in its caller" in found.note
