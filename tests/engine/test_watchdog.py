"""What is watched over: leases that were lost, workers that do not take their orders."""

from __future__ import annotations

import signal
import socket
import time

import pytest
from support.fake_services import FakeServices

from qcore.engine.dispatcher.deaths import Deaths
from qcore.engine.dispatcher.job import HELD, KillReason, LedgerPart
from qcore.engine.dispatcher.leases import Leases
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.pool import WorkerHandle, WorkerPool
from qcore.engine.dispatcher.shutdown import AFTER_SOFT
from qcore.engine.dispatcher.watchdog import HungWorkers, Watchdog
from qcore.engine.wire.channel import Channel, read_frame
from qcore.engine.wire.messages import FOLLOW_UP, LINK, SOFT_STOP, unpack_order
from qcore.envelope import Attempt, Outcome

#: When the lease of a job ends, where a test does not say otherwise.
END = 100.0


class Selector:
    """Takes note of nothing: these tests have no loop."""

    def register(self, *_): ...

    def unregister(self, *_): ...

    def modify(self, *_): ...


class Scene:
    """A worker pool whose workers are this test, on a clock that it moves."""

    def __init__(self, name):
        self.fakes = FakeServices(f"watch {name}", timeout=None)
        self.fakes.shared.renewing = True
        self.pool = WorkerPool(Selector())
        self.leases = Leases(self.fakes.shared, self.fakes.ready)
        self.kills = []
        self.watchdog = Watchdog(self.fakes.conf, self.pool, self.leases)
        self.ends = {}
        self.recorded = []
        self.again = self.fakes.ready.jobs
        self.deaths = Deaths(
            self.fakes.shared, self.leases, self, self.fakes.ready, self
        )

    def __getattr__(self, verb):
        """Stand in for a recorder: note what is done to which job."""
        if verb in ("record", "finish", "give_back"):
            return lambda job: self.recorded.append((verb, job))
        if verb == "put":  # and for the error reports
            return lambda *failure: None
        raise AttributeError(verb)

    def assign(self, pid, now=0.0, lease_end=END, **task):
        ours, self.ends[pid] = socket.socketpair()
        worker = WorkerHandle(pid, pid, Channel(ours))
        self.pool.add(worker)
        job = self.fakes.waiting_job(**task)
        self.pool.begin(worker, job)
        job.lease_end, job.assigned_at = lease_end, now
        self.pool.order(worker, b"order")
        self.watchdog.begin(worker, job)
        return worker, job

    def keep(self, now):
        """Do what the loop does with what is overdue."""
        for worker, job, reason, number in self.watchdog.due(now):
            assert worker.job is job
            job.killed, worker.ending = reason, True
            self.kills.append((worker.pid, number))

    def die(self, worker, job, status):
        """A worker that had this job is dead."""
        if job.state is JobState.READY:  # it was put back
            self.pool.begin(worker, job)
        worker.job = job
        self.deaths.gone(worker)
        self.deaths.died(worker.pid, status)

    def close(self):
        for worker in self.pool:
            self.pool.remove(worker)
        for end in self.ends.values():
            end.close()


@pytest.fixture
def scene(request):
    made = Scene(request.node.name)
    yield made
    made.close()


def heed(scene):
    """Have every worker read its order."""
    for end in scene.ends.values():
        read_frame(end)


# -- leases ----------------------------------------------------------------------------
@pytest.mark.fault("D6")
def test_a_job_whose_lease_has_ended_is_stopped_and_then_killed(scene):
    worker, job = scene.assign(1)
    other, _ = scene.assign(2, lease_end=2 * END)
    heed(scene)
    scene.keep(END - 1)
    assert scene.kills == []
    assert min(scene.watchdog.next()) == END
    scene.keep(END)
    assert scene.kills == [(1, SOFT_STOP)]
    assert (job.lost, job.killed, worker.ending, other.ending) == (
        True, KillReason.LOST, True, False,
    )  # fmt: skip
    scene.keep(END + AFTER_SOFT - 0.1)
    assert len(scene.kills) == 1, "once"
    scene.keep(END + AFTER_SOFT)
    assert scene.kills[1:] == [(1, signal.SIGKILL)]
    assert job.killed is KillReason.LOST


def test_what_the_broker_gave_away_is_stopped_at_once(scene):
    _, job = scene.assign(1)
    heed(scene)
    job.lost = True
    scene.keep(1.0)
    assert scene.kills == [], "the renewal has more to say before it sounds the alarm"
    scene.leases.alarm()
    scene.keep(1.0)
    assert scene.kills == [(1, SOFT_STOP)]


def test_what_was_given_away_before_its_worker_began_it_is_stopped_at_once(scene):
    """Its order lay ahead when the alarm came, and the look found nothing running."""
    worker, job = scene.assign(1)
    heed(scene)
    scene.leases.alarm()
    scene.keep(1.0)
    job.lost = True
    scene.watchdog.begin(worker, job)
    scene.keep(2.0)
    assert scene.kills == [(1, SOFT_STOP)]


def test_a_renewed_lease_moves_the_next_look(scene):
    _, job = scene.assign(1)
    heed(scene)
    job.lease_end = 3 * END
    scene.keep(END)
    assert scene.kills == []
    assert scene.watchdog.next() == [3 * END]


def test_a_job_with_a_shorter_lease_is_looked_at_sooner(scene):
    """It has waited for a worker; its lease is older than that of the other."""
    scene.assign(1)
    scene.assign(2, lease_end=END / 2)
    heed(scene)
    scene.keep(END / 2)
    assert scene.kills == [(2, SOFT_STOP)]


def test_a_lease_that_nobody_renews_may_end(scene):
    """The project has set `retry`: a long task is started again, and both go on."""
    scene.fakes.shared.renewing = False
    _, job = scene.assign(1)
    heed(scene)
    scene.keep(9 * END)
    assert scene.kills == []
    assert not scene.leases.has_lost(job, 9 * END)
    assert END not in scene.watchdog.next()


# -- what jobs hold ----------------------------------------------------------------------
def hold(scene, job, renewed_at=0.0, holds=True):
    job.ledger = LedgerPart(start=1, holds=holds)
    job.ledger.renewed_at = renewed_at
    scene.leases.watch(job)


@pytest.mark.fault("L7")
@pytest.mark.parametrize("renewing", [True, False])
def test_a_ledger_that_hangs_stops_what_holds_something(scene, renewing):
    """The thread that renews holds hangs in it; another task may have the place soon."""
    scene.fakes.shared.renewing = renewing
    assigned = [scene.assign(pid, lease_end=10 * HELD) for pid in (1, 2, 3, 4)]
    jobs = [job for _, job in assigned]
    hold(scene, jobs[0])
    hold(scene, jobs[1], renewed_at=5.0)
    hold(scene, jobs[2], holds=False)
    heed(scene)
    assert min(scene.watchdog.next()) <= HELD
    scene.keep(HELD - 1)
    assert scene.kills == []
    scene.keep(HELD)
    assert scene.kills == [(1, SOFT_STOP)]
    assert [job.lost for job in jobs] == [True, False, False, False]
    assert jobs[0].task.id in scene.fakes.shared.problems["holds"]
    jobs[1].ledger.renewed_at = HELD  # it answers again
    scene.keep(HELD + 1.9)
    assert scene.kills == [(1, SOFT_STOP)]
    scene.keep(HELD + 6)
    assert scene.kills == [(1, SOFT_STOP), (1, signal.SIGKILL)]
    scene.keep(2 * HELD)
    assert scene.kills[2:] == [(2, SOFT_STOP)]


def test_a_task_that_has_ended_keeps_its_end_whatever_it_held(scene):
    _, job = scene.assign(1, lease_end=10 * HELD)
    job.ended = Attempt(Outcome.SUCCESS, b"7", "json", 1, 2)  # its hook runs
    hold(scene, job)
    heed(scene)
    scene.keep(HELD + 1)
    assert (scene.kills, job.lost) == ([], False)


# -- the end of what was lost ------------------------------------------------------------
@pytest.mark.parametrize("ended", [None, Attempt(Outcome.SUCCESS, b"7", "json", 1, 2)])
def test_the_end_of_a_lost_job_is_not_recorded(scene, ended):
    worker, job = scene.assign(1, lease_end=time.monotonic() - 1)
    job.ended = ended
    scene.die(worker, job, 3 << 8)
    assert scene.recorded == []
    assert scene.fakes.shared.held == set()
    assert scene.fakes.claimed == 1, "its package is the broker's affair"


def test_a_job_that_was_stopped_is_given_back(scene):
    worker, job = scene.assign(1, lease_end=time.monotonic() + 60)
    job.killed = KillReason.STOP
    scene.die(worker, job, 9)
    assert scene.recorded == [("give_back", job)]


def test_a_crash_is_recorded(scene):
    worker, job = scene.assign(1, lease_end=time.monotonic() + 60)
    scene.die(worker, job, 3 << 8)
    assert scene.recorded == [("record", job)]
    assert job.ended.outcome == Outcome.CRASH


def test_a_hook_that_kills_is_tried_twice(scene):
    worker, job = scene.assign(1, lease_end=time.monotonic() + 60)
    job.ended = Attempt(Outcome.SUCCESS, b"7", "json", 1, 2)
    scene.die(worker, job, 3 << 8)
    assert (scene.again, scene.recorded) == ([job], [])
    scene.die(worker, job, 3 << 8)
    assert scene.recorded == [("finish", job)]


@pytest.mark.fault("G21")
def test_a_hook_that_kills_does_not_end_the_chain(scene):
    """Its package was made with the result, or is made now by an order without hook."""
    worker, job = scene.assign(
        1, lease_end=time.monotonic() + 60, links=1, hook="a.hook"
    )
    job.ended = Attempt(Outcome.SUCCESS, b"7", "json", 1, 2)
    kinds = []
    for _ in range(4):
        kinds.append(unpack_order(job.order()).kind)
        scene.die(worker, job, 3 << 8)
    assert kinds == [FOLLOW_UP, FOLLOW_UP, LINK, LINK]
    assert scene.recorded == []
    assert scene.fakes.shared.held == set(), "it is left to its lease, and comes again"
    assert scene.fakes.claimed == 1
    job.next_package = b"the next link"
    scene.die(worker, job, 3 << 8)
    assert scene.recorded == [("finish", job)]


# -- signs of life -----------------------------------------------------------------------
@pytest.mark.fault("A7")
def test_a_worker_that_does_not_take_its_order_is_replaced(scene):
    deaf, job = scene.assign(1)
    fine, _ = scene.assign(2)
    read_frame(scene.ends[2])
    scene.keep(4.9)
    assert scene.kills == []
    scene.keep(5.0)
    assert scene.kills == [(1, signal.SIGKILL)]
    assert (deaf.ending, fine.ending) == (True, False)
    job.lease_end = time.monotonic() + 60
    scene.die(deaf, job, 9)
    assert scene.again == [job], "it has not begun, so that this is no attempt"
    assert scene.recorded == []
    assert job.killed is None


def test_who_has_taken_an_order_is_not_asked_again(scene):
    worker, job = scene.assign(1)
    heed(scene)
    scene.keep(5.0)
    scene.pool.order(worker, b"something that it need not read at once")
    scene.keep(50.0)
    assert scene.kills == []
    hung = HungWorkers()
    hung.watch(worker, 60.0)
    job.assigned_at = 60.0
    assert hung.found(scene.pool, 65.0) == [(worker, job)], "a new order counts"


def test_half_an_order_is_unread(scene):
    worker, _ = scene.assign(1)
    scene.ends[1].recv(3)
    assert worker.channel.is_unread()
    scene.ends[1].recv(100)
    assert not worker.channel.is_unread()
    worker.channel.send(bytes(3_000_000))
    assert not worker.channel.flush(), "something is left over"
    assert worker.channel.is_unread()
