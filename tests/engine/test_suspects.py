"""Tasks that kill their whole cluster end; nobody else is blamed for it."""

from __future__ import annotations

import itertools
from contextlib import suppress

import msgspec
import pytest
from chores.ledger import wait_for
from support.fake_services import FakeServices, Receiver
from support.own_modules import give_own
from support.stopped_clock import stop_time

from qcore.brokers.memory import MemoryBroker
from qcore.cluster import run as composed
from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.handover import Handover
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.pusher import Pusher
from qcore.engine.dispatcher.recorder import Recorder
from qcore.engine.dispatcher.suspects import MARK
from qcore.envelope import Attempt, Outcome
from qcore.errors import StoreError, StoreRefused
from qcore.results.memory import MemoryStore
from qcore.tasks import async_task, fetch

LEASE = 60.0
_queues = itertools.count(1)


class Clusters:
    """Clusters that come and go on one queue; each is a pusher, and the test its loop."""

    def __init__(self, clock, **settings):
        MemoryStore.clear()
        self.clock = clock
        self.settings = {"retry": LEASE, "renew": True, **settings}
        self.queue = f"suspects {next(_queues)}"
        self.begun = []  # (task id, ids of those that run beside it)
        self.elsewhere = set()  # what living clusters say that they run
        self.reported = []
        self.start()

    def start(self):
        self.fakes = FakeServices(self.queue, **self.settings)
        receiver, capacity = Receiver(), Capacity(100)
        receiver.receive_finished = self.finish
        self.given, self.received = receiver.given, []
        services = msgspec.structs.replace(
            self.fakes.services, running=lambda: self.elsewhere
        )
        self.pusher = Pusher(
            services, capacity, self.fakes.shared,
            Handover(self.fakes.shared, capacity, receiver),
            lambda *failure: self.reported.append(failure),
        )  # fmt: skip
        self.recorder = Recorder(
            self.fakes.services, self.fakes.shared, self.fakes.ready
        )

    def finish(self, job, end):
        job.ended = end
        self.recorder.finish(job)

    def send(self, count=1):
        return [self.fakes.send().id for _ in range(count)]

    def claim(self):
        """One round of the pusher; return the ids of what begins."""
        self.given.clear()
        self.pusher._once(self.fakes.broker)
        self.record()
        self.received += self.given
        beside = {job.task.id for job in self.received if job in self.fakes.shared.held}
        self.begun += [(job.task.id, beside) for job in self.given]
        return [job.task.id for job in self.given]

    def claim_soon(self):
        """A few rounds, until something begins."""
        return next(filter(None, (self.claim() for _ in range(3))), [])

    def record(self):
        self.recorder.close()
        self.recorder._waiting.is_closed = False
        self.recorder.run()

    def end(self, job, outcome=Outcome.SUCCESS):
        now = self.clock.at
        content = "json" if outcome == Outcome.SUCCESS else "text"
        job.ended = Attempt(outcome, b"7", content, now, now)
        self.recorder.record(job)
        self.record()

    def die(self):
        """All processes are killed at once; the leases end, and another one starts."""
        self.start()
        self.clock.advance(LEASE + 1)

    def stop(self):
        """It stops in order, and gives back what it has."""
        held = list(self.fakes.shared.held)
        self.fakes.shared.stopping.set()
        self.pusher.run()
        for job in held:
            self.recorder.give_back(job)
        self.record()
        self.start()

    def count(self, id):
        return sum(one == id for one, _ in self.begun)


@pytest.fixture
def begin(monkeypatch):
    clock = stop_time(monkeypatch)
    monkeypatch.setattr("qcore.engine.dispatcher.pusher._LOOK", 0)
    return lambda **settings: Clusters(clock, **settings)


@pytest.mark.fault("A24")
@pytest.mark.parametrize(("most", "begins"), [(1, 2), (2, 2), (3, 3), (5, 5)])
def test_a_task_that_kills_its_cluster_each_time_is_given_up(begin, most, begins):
    it = begin(max_crashes=most)
    (killer,) = it.send()
    for _ in range(begins + 3):
        if it.claim():
            it.die()
    assert it.count(killer) == begins
    row = MemoryStore._rows[killer]
    assert row.outcome == Outcome.CRASH
    assert row.value.startswith(MARK)
    assert "given up" in row.value
    assert (it.fakes.waiting, it.fakes.claimed, it.fakes.shared.held) == (0, 0, set())
    ((task, _, outcome, *_),) = it.reported
    assert (task.id, outcome) == (killer, Outcome.CRASH)


@pytest.mark.fault("A24")
@pytest.mark.parametrize("most", [1, 2, 3])
def test_who_dies_beside_a_killer_is_not_blamed(begin, most):
    it = begin(max_crashes=most)
    killer, *others = it.send(5)
    for _ in range(60):
        begun = it.claim()
        if killer in begun:
            it.die()
            continue
        for job in list(it.given):
            it.end(job)
        it.clock.advance(1)
    assert {MemoryStore._rows[id].outcome for id in others} == {Outcome.SUCCESS}
    assert MemoryStore._rows[killer].outcome == Outcome.CRASH
    last = [beside for id, beside in it.begun if id == killer][-1]
    assert last == {killer}, "it has run alone before it is ended"


@pytest.mark.fault("A24")
def test_planned_stops_are_nobodys_fault(begin):
    it = begin(max_crashes=2)
    (long,) = it.send()
    for _ in range(12):
        assert it.claim_soon() == [long]
        it.stop()
    assert it.claim_soon() == [long]
    it.end(it.given[0])
    assert MemoryStore._rows[long].outcome == Outcome.SUCCESS


@pytest.mark.fault("A24")
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_long_task_may_outlive_its_lease_where_the_project_sets_it(begin, where):
    """The documented example: five runs, of which the first ends first."""
    it = begin(renew=None)
    (long,) = it.send()
    runs = []
    for _ in range(5):
        assert it.claim() == [long]
        runs += it.given
        if where == "elsewhere":
            it.start()
            it.elsewhere = {long}
        it.clock.advance(LEASE + 1)
    assert it.count(long) == 5
    it.end(runs[0])
    assert MemoryStore._rows[long].outcome == Outcome.SUCCESS


@pytest.mark.fault("A24")
def test_where_nobody_can_tell_what_others_run_nobody_is_blamed(begin):
    it = begin(max_crashes=1)

    class Unknown:
        def __contains__(self, id):
            raise StoreError("the cache is away")

    it.elsewhere = Unknown()
    (id,) = it.send()
    for _ in range(6):
        assert it.claim() == [id]
        it.die()


@pytest.mark.fault("A24")
def test_recorded_failures_are_no_suspicion(begin):
    it = begin(max_crashes=2)
    (id,) = it.send()
    for _ in range(6):
        assert it.claim() == [id]
        it.end(it.given[0], Outcome.FAILURE)
        it.clock.advance(LEASE + 1)
    assert MemoryStore._rows[id].attempt_count == 6


@pytest.mark.fault("A24")
def test_a_broker_that_does_not_count_makes_no_suspects(begin, monkeypatch):
    it = begin(max_crashes=1)
    (id,) = it.send()
    dequeue = MemoryBroker.dequeue

    def uncounted(self, limit=1, wait=0):
        found = dequeue(self, limit, wait)
        return [type(one)(one.receipt, one.package, 1, one.lease_end) for one in found]

    monkeypatch.setattr(MemoryBroker, "dequeue", uncounted)
    for _ in range(5):
        assert it.claim() == [id]
        it.die()
    assert "finished" not in it.fakes.calls


def suspect(it):
    """Bring a task under suspicion; return its id."""
    (id,) = it.send()
    assert it.claim() == [id]
    it.die()
    return id


@pytest.mark.fault("A24")
def test_a_suspect_waits_until_the_cluster_is_empty_and_others_wait_for_it(begin):
    it = begin(max_crashes=1)
    id = suspect(it)
    (first,) = it.send()
    MemoryBroker.release(it.fakes.broker, [])
    begun = it.claim()
    assert begun == [first]
    busy = it.given[0]
    (later,) = it.send()
    assert it.claim() == [], "it waits, and so does what comes"
    it.end(busy)
    assert it.claim() == [id]
    alone = it.given[0]
    assert it.claim() == []
    it.clock.advance(59)
    assert it.claim() == []
    it.clock.advance(2)
    for job in it.fakes.shared.held:
        job.lease_end = it.clock.at + LEASE  # renewed
    assert it.claim() == [later], "a long task does not stop a cluster for ever"
    it.end(alone)
    assert MemoryStore._rows[id].outcome == Outcome.SUCCESS


@pytest.mark.fault("A24")
def test_a_suspect_is_put_off_where_others_take_long(begin):
    it = begin(max_crashes=1)
    id = suspect(it)
    (long,) = it.send()
    assert it.claim() == [long]
    assert it.claim() == []
    it.clock.advance(11)
    assert it.claim() == []
    (more,) = it.send()
    assert it.claim() == [more], "it costs them ten seconds"
    assert it.count(id) == 1
    for job in list(it.fakes.shared.held):
        it.end(job)
    it.clock.advance(31)
    it.claim()
    assert it.claim() == [id] or it.count(id) == 2


@pytest.mark.fault("A24")
def test_a_stop_while_a_suspect_runs_is_not_held_against_it(begin):
    it = begin(max_crashes=1)
    id = suspect(it)
    it.claim()
    it.claim()
    assert it.count(id) == 2
    assert MemoryStore._rows[id].value.startswith(MARK)
    it.stop()
    for _ in range(3):
        it.claim()
    assert it.count(id) == 3, "it runs again"
    it.end(it.fakes.shared.held.copy().pop())
    assert MemoryStore._rows[id].outcome == Outcome.SUCCESS


def test_a_store_that_is_away_begins_nothing_alone(begin):
    it = begin(max_crashes=1)
    id = suspect(it)
    it.claim()
    it.fakes.failures["save"] = [StoreError("away")]
    with pytest.raises(StoreError):
        it.claim()
    assert it.count(id) == 1
    assert it.claim() == [id]


@pytest.mark.fault("A24")
@pytest.mark.parametrize("where", ["arguments", "everything"])
def test_a_store_that_refuses_the_mark_holds_up_nobody(begin, where, monkeypatch):
    it = begin(max_crashes=1)
    id = suspect(it)
    save = MemoryStore.save

    def refuse(store, results):
        for result in results:
            if result.task.content != "lost" or where == "everything":
                raise StoreRefused("too large")
        save(store, results)

    it.claim()
    monkeypatch.setattr(
        it.fakes.store, "save", lambda results: refuse(it.fakes.store, results)
    )
    assert it.claim() == [id]
    marked = id in MemoryStore._rows
    assert marked == (where == "arguments")
    monkeypatch.undo()
    it.end(it.given[0])
    assert it.claim_soon() == []
    (later,) = it.send()
    assert it.claim() == [later]


@pytest.mark.fault("A24")
def test_who_loses_its_lease_alone_has_killed_nobody(begin):
    """The broker was away for longer than the lease."""
    it = begin(max_crashes=1)
    id = suspect(it)
    it.claim()
    assert it.claim() == [id]
    job = it.given[0]
    job.lost = True
    it.fakes.shared.settle(
        job, JobState.LOST
    )  # as the loop does when its worker has been stopped
    it.claim()
    assert not str(MemoryStore._rows[id].value).startswith(MARK)
    it.clock.advance(LEASE + 1)
    assert it.claim_soon() == [id], "it runs again"


@pytest.mark.fault("A24")
def test_a_suspect_does_not_wait_for_a_long_one_that_was_alone(begin):
    it = begin(max_crashes=1)
    first, second = it.send(2)
    it.claim()
    it.die()
    it.claim()
    begun = it.claim()
    assert begun in ([first], [second])
    for _ in range(3):
        it.clock.advance(21)
        for job in it.fakes.shared.held:  # renewed
            it.fakes.broker.extend([job.receipt])
            job.lease_end = it.clock.at + LEASE
    (later,) = it.send()
    assert it.claim() == [later]
    assert len(it.fakes.shared.held) == 2, "another cluster may have it"
    assert it.fakes.waiting == 1


@pytest.mark.fault("A24")
def test_a_mark_is_not_the_end_of_a_call_of_an_iter(begin):
    it = begin(max_crashes=1)
    group = "f" * 32
    calls = [
        it.fakes.send(group=group, iter_index=place, iter_count=2).id
        for place in (0, 1)
    ]
    assert sorted(it.claim()) == sorted(calls)
    first, second = it.given
    it.end(first)
    it.die()
    it.claim()
    assert it.claim() == [second.task.id]
    assert not it.fakes.store.collate(group, 2), "it may still succeed"
    it.end(it.given[0])
    assert MemoryStore._rows[group].success


@pytest.mark.fault("A24")
def test_a_store_that_is_away_at_a_stop_keeps_no_suspect(begin):
    it = begin(max_crashes=1)
    first, second = it.send(2)
    it.claim()
    it.die()
    it.claim()
    assert it.claim() in ([first], [second])
    it.fakes.failures["save"] = [StoreError("away")] * 9
    it.given.clear()
    it.fakes.shared.stopping.set()
    it.pusher.run()
    assert {job.task.id for job in it.given} < {first, second}, "the loop gives it back"
    assert len(it.given) == 1


# -- what other clusters say -----------------------------------------------------------------
def test_what_a_dead_cluster_of_this_host_has_said_does_not_count(monkeypatch):
    def said(host, pid, task):
        worker = type("Worker", (), {"task_id": task})
        return type(
            "Snapshot", (), {"host": host, "sentinel_pid": pid, "workers": [worker]}
        )

    here = composed.socket.gethostname()
    dead = 2**22 + 1
    give_own(monkeypatch, composed, "os", getppid=lambda: 1)
    monkeypatch.setattr(composed.status, "route", lambda: "cache")
    monkeypatch.setattr(
        composed.status,
        "running",
        lambda: [
            said(here, composed.os.getpid(), "alive"), said(here, dead, "dead"),
            said(here, 1, "ours"), said("elsewhere", dead, "far"), said(here, 1, None),
        ],
    )  # fmt: skip
    assert composed.running_elsewhere() == {"alive", "far"}


# -- a cluster ---------------------------------------------------------------------------------
@pytest.mark.fault("A24")
def test_a_cluster_that_a_task_kills_comes_to_rest(start, ledger, key):
    """A service manager starts it again each time."""
    cluster = start(queue="killed", workers=1, retry=1.5, max_crashes=2)
    id = async_task("chores.rude.kill_cluster", key, cluster="killed")
    for _ in range(2):
        wait_for(lambda: cluster.exit_code is not None, 30, "the cluster is killed")
        with suppress(AssertionError):  # it may be killed before it says "ready"
            cluster.start()
    record = fetch(id, wait=60_000)
    cluster.wait_for(lambda: "given up" in str((fetch(id) or record).result))
    assert fetch(id).outcome == "crash"
    assert len(ledger.entries(key, "began")) == 2
