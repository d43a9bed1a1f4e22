"""Tasks that need plugins: asked about at their claim, and never stopped by each other."""

from __future__ import annotations

import itertools
from collections import Counter

import msgspec
import pytest
from support.fake_services import FakeServices, Receiver
from support.stepped import Stepped
from support.stopped_clock import stop_time

from qcore import RUN, Drop, Later, Park, Release
from qcore.engine.dispatcher import culprits
from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.handover import Handover
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.plugins import PATIENCE, SHOWN
from qcore.engine.dispatcher.pusher import Pusher
from qcore.errors import BrokerError, LedgerError, PluginUnready, StoreUnavailable
from qcore.features import Admitted
from qcore.results.memory import MemoryStore
from qcore.settled import TicketState

_queues = itertools.count(1)


class FakeFeatures:
    """Answers for plugins: what a test says of each task, in batches as they were asked."""

    def __init__(self):
        self.installed = {"limits"}
        self.batches = []
        self.answers = {}  # id -> an answer, or what is raised
        self.away = None
        self.starts = Counter()

    def lacking(self, task):
        return next((name for name in task.needs if name not in self.installed), None)

    def admit(self, claims):
        ids = [claim.task.id for claim in claims]
        self.batches.append(ids)
        if self.away is not None:
            raise self.away
        answers = [self.answers.get(id, RUN) for id in ids]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        self.starts.update(ids)
        return [
            Admitted(answer, TicketState(starts=self.starts[id], runs=self.starts[id]))
            for id, answer in zip(ids, answers, strict=True)
        ]


class Asked:
    """A pusher with such plugins; the test is its loop."""

    def __init__(self, clock, retry=60.0):
        MemoryStore.clear()
        self.clock = clock
        self.fakes = FakeServices(f"admissions {next(_queues)}", retry=retry)
        self.shared, self.features = self.fakes.shared, FakeFeatures()
        self.receiver = Receiver()
        self.capacity = capacity = Capacity(100)
        services = msgspec.structs.replace(
            self.fakes.services, make_features=lambda: self.features
        )
        self.handover = Handover(self.shared, capacity, self.receiver)
        self.pusher = Pusher(
            services, capacity, self.shared, self.handover, services.report
        )

    def send(self, *needs):
        return self.fakes.send(needs=needs).id

    def once(self):
        """One round; return the ids of what may run."""
        self.receiver.given.clear()
        self.pusher._once(self.fakes.broker)
        given = [job.task.id for job in self.receiver.given]
        self.capacity.update(len(given), 0, 0, 100)  # as the loop does
        return given

    @property
    def held(self):
        return {job.task.id for job in self.shared.held}


@pytest.fixture
def clock(monkeypatch):
    return stop_time(monkeypatch)


@pytest.fixture
def asked(clock):
    return Asked(clock)


def test_plain_tasks_are_asked_about_by_nobody(asked):
    ids = [asked.send(), asked.send()]
    assert asked.once() == ids
    assert asked.features.batches == []


def test_a_batch_is_asked_about_together(asked):
    plain, *ids = asked.send(), asked.send("limits"), asked.send("limits")
    assert asked.once() == [plain, *ids]
    assert asked.features.batches == [ids]


def test_a_dropped_task_ends_without_a_run(asked):
    dropped, other = asked.send("limits"), asked.send("limits")
    asked.features.answers[dropped] = Drop("replaced", "by 17")
    assert asked.once() == [other]
    ((job, end),) = asked.receiver.ended
    assert (job.task.id, end.outcome, end.text) == (
        dropped,
        "replaced",
        "Replaced: by 17",
    )


@pytest.mark.fault("J12")
def test_a_task_on_which_its_plugin_fails_stops_no_other(asked):
    plain = asked.send()
    ids = [asked.send("limits") for _ in range(8)]
    asked.features.answers[ids[5]] = ValueError("redis://me:secret@there")
    assert asked.once() == [plain, *ids[:5], *ids[6:]]
    assert len(asked.features.batches) <= 2 * 3 + 1, "halved, and not one by one"
    # the culprit is given back for a while, and shown
    assert ids[5] not in asked.held
    (problem,) = asked.shared.problems.values()
    assert "limits" in problem
    assert "ValueError" in problem
    assert "secret" not in problem


@pytest.mark.fault("J12")
def test_a_plugin_that_fails_for_all_stops_no_task_of_another(asked):
    """As where the tables of one plugin are missing: in the first round already."""
    asked.features.installed = {"limits", "flows"}
    bad = [asked.send("limits") for _ in range(20)]
    good = [asked.send("flows") for _ in range(5)]
    asked.features.answers.update(dict.fromkeys(bad, KeyError("no such table")))
    assert asked.once() == good
    assert len(asked.features.batches) < 30, "a broken plugin is not asked for each"
    assert asked.held == set(good)


def test_it_is_asked_about_again_alone(asked):
    bad = asked.send("limits")
    asked.features.answers[bad] = KeyError("x")
    asked.once()
    assert asked.once() == [], "not before its pause is over"
    assert len(asked.features.batches) == 1
    good = asked.send("limits")
    asked.clock.advance(1)
    assert asked.once() == [good]
    assert asked.features.batches[1:] == [[good], [bad]]
    del asked.features.answers[bad]
    asked.clock.advance(15)
    assert asked.once() == [bad]
    asked.send("limits")
    asked.once()
    assert asked.shared.problems == {}


class TestGivenUp:
    """A task on which its plugin fails goes to the quarantine in the end."""

    def fail(self, asked, seconds, *, others):
        """Let rounds pass in which the plugin fails on one task; return its id."""
        bad = asked.send("limits")
        asked.features.answers[bad] = KeyError("mongodb://me:secret@there")
        for _ in range(int(seconds / 20)):
            if others:
                asked.send("limits")
            asked.once()
            for job in list(asked.shared.held):
                asked.fakes.broker.acknowledge(job.receipt)
                asked.shared.settle(job, JobState.LEFT)
            asked.clock.advance(20)
        return bad

    @pytest.mark.fault("J12")
    def test_after_ten_minutes_in_which_others_got_through(self, asked, caplog):
        bad = self.fail(asked, culprits.PATIENCE, others=True)
        assert asked.shared.quarantined == 0
        asked.once()
        assert asked.shared.quarantined == 1
        assert asked.fakes.store.aside == [(asked.fakes.queue, "PluginFailed")]
        assert asked.fakes.waiting == asked.fakes.claimed == 0
        assert asked.held == set()
        told = caplog.records[-1].getMessage()
        assert bad in told
        assert "(limits) have failed on it 31 times in 600 s" in told
        assert "KeyError" in told
        assert "secret" not in told

    def test_not_while_nobody_knows_whose_fault_it_is(self, asked):
        self.fail(asked, 3 * culprits.PATIENCE, others=False)
        assert (asked.shared.quarantined, asked.fakes.waiting) == (0, 1)

    def test_after_a_day_all_the_same(self, asked, monkeypatch):
        monkeypatch.setattr(culprits, "LONGEST", 900.0)
        self.fail(asked, 900, others=False)
        assert asked.shared.quarantined == 0
        asked.once()
        assert asked.fakes.store.aside == [(asked.fakes.queue, "PluginFailed")]

    def test_missing_tables_are_no_fault_of_a_task(self, asked, monkeypatch):
        monkeypatch.setattr(culprits, "LONGEST", 100.0)
        bad = asked.send("limits")
        asked.features.answers[bad] = PluginUnready("run migrate")
        for _ in range(20):
            asked.once()
            asked.clock.advance(20)
        assert asked.shared.quarantined == 0
        del asked.features.answers[bad]
        assert asked.once() == [bad]

    def test_a_quarantine_that_fails_leaves_it_to_its_lease(self, asked, monkeypatch):
        monkeypatch.setattr(culprits, "LONGEST", 60.0)
        self.fail(asked, 60, others=False)
        asked.fakes.failures["quarantine"] = [StoreUnavailable("away")]
        asked.once()
        assert (asked.shared.quarantined, asked.fakes.claimed) == (0, 1)
        assert asked.held == set()

    def test_a_stop_gives_it_back(self, asked, monkeypatch):
        monkeypatch.setattr(culprits, "LONGEST", 60.0)
        bad = self.fail(asked, 60, others=False)
        monkeypatch.setattr(asked.pusher, "_given_up", list)  # the stop is faster
        asked.once()
        asked.shared.stopping.set()
        asked.pusher.run()
        assert [job.task.id for job in asked.receiver.given] == [bad]


def test_where_each_task_fails_the_plugin_is_the_reason(asked):
    """Then the rest of a batch is not asked about one by one."""
    ids = [asked.send("limits") for _ in range(64)]
    asked.features.answers.update(dict.fromkeys(ids, ValueError("bug")))
    plain = asked.send()
    assert asked.once() == [plain]
    assert len(asked.features.batches) < 30
    assert asked.held == {plain}


def test_the_problem_goes_where_such_tasks_come_no_more(asked):
    bad = asked.send("limits")
    asked.features.answers[bad] = KeyError("x")
    asked.once()
    asked.fakes.broker.purge_queue()
    asked.clock.advance(121)
    asked.once()
    assert asked.shared.problems == {}


@pytest.mark.fault("J16")
def test_a_ledger_that_is_away_stops_no_plain_task(asked):
    """However many tasks wait for it: they do not fill what the cluster may hold."""
    asked.features.away = LedgerError("no answer")
    ids = [asked.send("limits") for _ in range(300)]
    plain = [asked.send() for _ in range(3)]
    found = []
    for _ in range(20):
        found += asked.once()
    assert found == plain
    assert asked.held == set(plain)
    assert len(asked.features.batches) == 1, (
        "it is not asked again before a pause is over"
    )
    assert "no answer" in asked.shared.problems["plugins"]
    asked.features.away = None
    asked.clock.advance(30)
    found = []
    for _ in range(40):
        found += asked.once()
        for job in list(asked.shared.held):
            asked.shared.settle(job, JobState.LEFT)
    assert sorted(found) == sorted(ids)
    assert asked.shared.problems == {}


def test_given_back_it_uses_up_no_attempt(asked):
    task_id = asked.send("limits")
    asked.features.away = LedgerError("no answer")
    for _ in range(4):
        asked.once()
        asked.clock.advance(20)
    asked.features.away = None
    assert asked.once() == [task_id]
    (job,) = asked.receiver.given
    assert job.delivery.attempt == 5
    assert (job.attempt, job.start) == (1, 1)


def test_new_claims_are_asked_about_while_others_wait(asked):
    bad = asked.send("limits")
    asked.features.answers[bad] = SystemExit(3)
    asked.once()
    good = asked.send("limits")
    assert asked.once() == [good]
    assert asked.held == {good}


def test_a_broker_that_cannot_delay_leaves_them_to_their_leases(asked, monkeypatch):
    monkeypatch.setattr(asked.fakes.broker, "supports_delay", False)
    bad = asked.send("limits")
    asked.features.answers[bad] = KeyError("x")
    asked.once()
    assert asked.held == set()
    assert asked.fakes.claimed == 1
    asked.features.answers.clear()
    asked.clock.advance(61)
    assert asked.once() == [bad]


def test_a_broker_that_refuses_to_take_them_back_does_neither(asked):
    bad = asked.send("limits")
    asked.features.answers[bad] = KeyError("x")
    asked.fakes.failures["release"] = [BrokerError("no")]
    asked.once()
    assert (asked.held, asked.fakes.claimed) == (set(), 1)


@pytest.mark.parametrize("answer", [Later(5), Park()], ids=repr)
def test_a_task_that_was_moved_is_acknowledged(asked, answer):
    task_id = asked.send("limits")
    asked.features.answers[task_id] = answer
    assert asked.once() == []
    (job,) = asked.receiver.dropped
    assert (job.task.id, job.start) == (task_id, 0)


def test_a_copy_of_a_task_that_runs_is_given_back_for_some_time(asked):
    task_id = asked.send("limits")
    asked.features.answers[task_id] = Release(40)
    assert asked.once() == []
    assert asked.held == set()
    asked.clock.advance(39)
    assert asked.once() == []
    asked.clock.advance(2)
    del asked.features.answers[task_id]
    assert asked.once() == [task_id]
    assert asked.shared.problems == {}


def test_a_task_that_has_expired_is_held_back_by_nobody(asked):
    task = asked.fakes.send(needs=("limits",), expires=1.0)
    assert asked.once() == []
    assert asked.features.batches == []
    ((job, end),) = asked.receiver.ended
    assert (job.task.id, end.outcome) == (task.id, "expired")


def test_a_lease_that_is_lost_meanwhile(asked):
    bad = asked.send("limits")

    def lose(claims):
        for job in list(asked.shared.held):
            job.lost = True
        raise KeyError("x")

    asked.features.admit = lose
    asked.once()
    assert (asked.held, bad in asked.held, asked.fakes.claimed) == (set(), False, 1)


def test_a_stop_gives_back_what_is_put_off(asked):
    bad = asked.send("limits")
    asked.features.answers[bad] = KeyError("x")
    asked.pusher._late.flush = lambda broker: None  # the stop is faster
    asked.once()
    asked.shared.stopping.set()
    asked.pusher.run()
    assert [job.task.id for job in asked.receiver.given] == [bad]


# -- a plugin that is not there --------------------------------------------------------------
@pytest.mark.fault("J13")
def test_a_task_whose_plugin_is_not_installed_is_given_back(asked):
    task_id, plain = asked.send("flows"), asked.send()
    assert asked.once() == [plain]
    assert asked.held == {plain}
    (problem,) = asked.shared.problems.values()
    assert "'flows'" in problem
    assert asked.once() == [], "it was released with a delay"
    asked.clock.advance(30)
    asked.features.installed.add("flows")
    assert asked.once() == [task_id]
    asked.clock.advance(SHOWN + 1)
    asked.once()
    assert asked.shared.problems == {}


@pytest.mark.fault("J13")
def test_one_that_comes_after_its_lease_alone_is_remembered(clock):
    asked = Asked(clock, retry=200.0)
    asked.fakes.broker.supports_delay = False
    asked.send("flows")
    for _ in range(4):
        asked.once()
        asked.clock.advance(201)
    assert asked.shared.quarantined == 1


@pytest.mark.fault("J13")
def test_after_ten_minutes_it_is_quarantined(asked):
    asked.send("flows")
    for _ in range(int(PATIENCE / 30)):
        asked.once()
        asked.clock.advance(30)
    assert asked.shared.quarantined == 0
    asked.once()
    assert asked.shared.quarantined == 1
    assert asked.fakes.store.aside == [(asked.fakes.queue, "PluginLacking")]
    assert asked.fakes.waiting == asked.fakes.claimed == 0


# -- with the loop and the recorder -----------------------------------------------------------
def test_the_outcome_of_a_dropped_task_is_stored_once_and_for_all(clock, monkeypatch):
    MemoryStore.clear()
    notes = []
    stepped = Stepped(f"admissions {next(_queues)}", clock, notes.append, workers=1)
    try:
        features = FakeFeatures()
        stepped.pusher._admissions._features = features
        task = stepped.fakes.send(needs=("limits",))
        features.answers[task.id] = Drop("replaced", "by 17")
        stepped.push()
        stepped.record()
        found = stepped.fakes.store.fetch(task.id)
        assert (found.outcome, found.attempt_count) == ("replaced", 1)
        assert stepped.fakes.waiting == stepped.fakes.claimed == 0
        assert stepped.shared.held == set()
    finally:
        stepped.lose()
