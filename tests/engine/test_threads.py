"""The other threads of the dispatcher: pusher, renewal, scheduler, status."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from chores.ledger import wait_for
from support.fake_services import Broken, FakeServices, Receiver
from support.later_packages import of_a_later_release
from support.own_modules import give_own
from support.stopped_clock import stop_time

from qcore.engine.dispatcher import pusher as pusher_module
from qcore.engine.dispatcher import renewal as renewal_module
from qcore.engine.dispatcher import scheduling as scheduling_module
from qcore.engine.dispatcher import status as status_module
from qcore.engine.dispatcher import steps
from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.handover import Handover
from qcore.engine.dispatcher.leases import Leases
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.pusher import Pusher
from qcore.engine.dispatcher.relaying import Relaying
from qcore.engine.dispatcher.renewal import LeaseRenewal
from qcore.engine.dispatcher.scheduling import Scheduling
from qcore.engine.dispatcher.status import ClusterStatus, StatusPublisher
from qcore.envelope import Options, Outcome, Result
from qcore.errors import BrokerUnavailable
from qcore.signing import Signer
from qcore.status import PAUSE, Snapshot


@pytest.fixture
def fakes(request):
    return FakeServices(f"threads {request.node.name}")


class Pushed:
    """A pusher, and what it hands over."""

    def __init__(self, fakes, capacity=100):
        self.fakes = fakes
        receiver, claims = Receiver(), Capacity(capacity)
        self.given, self.finished = receiver.given, receiver.finished
        self.pusher = Pusher(
            fakes.services,
            claims,
            fakes.shared,
            Handover(fakes.shared, claims, receiver),
            fakes.services.report,
        )

    def once(self):
        self.pusher._once(self.fakes.broker)


def store(fakes, task, outcome=Outcome.SUCCESS, value=b"7", attempt=1):
    result = Result(
        task=task, outcome=outcome, value=value,
        content="json" if outcome == Outcome.SUCCESS else "text",
        started=1.0, stopped=2.0, attempt=attempt,
    )  # fmt: skip
    fakes.store.save([result])


# -- pusher ------------------------------------------------------------------------------
def test_deliveries_become_jobs(fakes):
    pushed = Pushed(fakes)
    tasks = [fakes.send() for _ in range(3)]
    pushed.once()
    assert [job.task for job in pushed.given] == tasks
    assert fakes.shared.held == set(pushed.given)
    assert not fakes.shared.queue_empty.is_set()
    assert "finished" not in fakes.calls, "a first attempt costs no query"
    pushed.once()
    assert fakes.shared.queue_empty.is_set()


def test_no_more_is_claimed_than_there_is_room_for(fakes):
    pushed = Pushed(fakes, capacity=2)
    for _ in range(5):
        fakes.send()
    pushed.once()
    assert len(pushed.given) == 2
    assert fakes.waiting == 3


def test_a_bad_package_costs_the_others_nothing(fakes):
    pushed = Pushed(fakes)
    fakes.broker.enqueue(b"not a package")
    good = fakes.send()
    fakes.broker.enqueue(Signer(["another"], fakes.conf.name).sign(fakes.task()))
    fakes.failures["quarantine"] = [Broken("down")]
    pushed.once()
    assert [job.task for job in pushed.given] == [good]
    assert len(fakes.store.aside) == 1, "nor does one of them cost the other anything"
    assert fakes.claimed == 2, "what was not put aside is not removed either"


def test_bad_packages_are_put_aside_and_removed(fakes):
    pushed = Pushed(fakes)
    fakes.broker.enqueue(b"not a package")
    fakes.broker.enqueue(Signer(["another"], fakes.conf.name).sign(fakes.task()))
    fakes.broker.enqueue(fakes.signer.sign(fakes.task(queue="elsewhere")))
    pushed.once()
    assert pushed.given == []
    assert [reason for _, reason in fakes.store.aside] == [
        "BadPackage", "BadSignature", "BadSignature",
    ]  # fmt: skip
    assert fakes.shared.quarantined == 3
    assert (fakes.waiting, fakes.claimed) == (0, 0)


def test_a_package_of_a_later_release_is_given_back_for_a_while(fakes):
    pushed = Pushed(fakes)
    package = fakes.signer.sign(fakes.task())
    fakes.broker.enqueue(of_a_later_release(package, fakes.signer))
    pushed.once()
    assert pushed.given == []
    assert (fakes.waiting, fakes.claimed) == (1, 0)
    assert fakes.broker.dequeue(1) == [], "not at once"


@pytest.mark.fault("G19")
def test_a_forged_package_is_put_aside_at_once_whatever_version_it_claims(fakes):
    pushed = Pushed(fakes)
    fakes.broker.enqueue(
        of_a_later_release(fakes.signer.sign(fakes.task()), Signer(["another"], "x"))
    )
    pushed.once()
    assert [reason for _, reason in fakes.store.aside] == ["BadSignature"]
    assert (fakes.waiting, fakes.claimed) == (0, 0)


@pytest.mark.fault("G9")
def test_a_package_that_no_cluster_can_read_is_put_aside_in_the_end(fakes, monkeypatch):
    pushed = Pushed(fakes)
    monkeypatch.setattr(pusher_module, "_NEWER_DELAY", 0)
    package = fakes.signer.sign(fakes.task())
    fakes.broker.enqueue(of_a_later_release(package, fakes.signer))
    for _ in range(pusher_module._NEWER_TIMES):
        pushed.once()
        assert (fakes.waiting, fakes.claimed, fakes.store.aside) == (1, 0, [])
    pushed.once()
    assert [reason for _, reason in fakes.store.aside] == ["NewerPackage"]
    assert (fakes.waiting, fakes.claimed) == (0, 0)


@pytest.mark.fault("D8")
def test_a_copy_of_what_is_in_our_hands_is_left_to_its_lease(fakes):
    """It would pass the look into the store, and be assigned when the first has ended."""
    pushed = Pushed(fakes)
    task = fakes.send()
    pushed.once()
    (first,) = pushed.given
    fakes.broker.enqueue(fakes.signer.sign(task))
    fakes.broker.release([d.receipt for d in fakes.broker.dequeue(9)])
    pushed.once()
    assert pushed.given == [first]
    assert fakes.claimed == 2
    first.lost = True  # then the copy is what there is
    fakes.broker.release([d.receipt for d in fakes.broker.dequeue(9)])
    fakes.broker.enqueue(fakes.signer.sign(task))
    fakes.broker.release([d.receipt for d in fakes.broker.dequeue(9)])
    pushed.once()
    assert len(pushed.given) == 2


def test_a_stored_success_is_only_settled(fakes):
    pushed = Pushed(fakes)
    task, fresh = fakes.send(), fakes.send()
    store(fakes, task)
    fakes.broker.release([d.receipt for d in fakes.broker.dequeue(9)])
    pushed.once()
    assert [job.task for job in pushed.given] == [fresh]
    ((job, end),) = pushed.finished
    assert (job.task, job.attempt) == (task, 2)
    assert (end.outcome, end.content, end.value) == (Outcome.SUCCESS, "json", b"7")
    assert fakes.shared.held == {job, *pushed.given}


@pytest.mark.parametrize(
    ("limit", "stored", "outcome"),
    [
        (1, 1, Outcome.FAILURE),
        (1, 1, Outcome.CRASH),
        (2, 1, None),  # there is one more
        (0, 1, None),  # and here always
        (1, None, None),  # nobody knows how its only one ended
    ],
)
def test_the_failure_of_a_last_attempt_is_only_settled(fakes, limit, stored, outcome):
    pushed = Pushed(fakes)
    task = fakes.send(options=Options(max_attempts=limit))
    if stored:
        store(fakes, task, outcome or Outcome.FAILURE, b"ValueError: no", stored)
    fakes.broker.release([d.receipt for d in fakes.broker.dequeue(9)])
    pushed.once()
    ended = [(job.task, end.outcome, end.value) for job, end in pushed.finished]
    assert ended == ([(task, outcome, b"ValueError: no")] if outcome else [])
    assert [job.task for job in pushed.given] == ([] if outcome else [task])


@pytest.mark.parametrize("fields", [{"link": 1}, {"slot": 1.0}])
def test_what_may_be_doubled_is_looked_up_at_its_first_attempt(fakes, fields):
    pushed = Pushed(fakes)
    task = fakes.send(**fields)
    store(fakes, task)
    pushed.once()
    assert pushed.given == []
    assert pushed.finished[0][0].task == task


def test_a_broker_that_is_away_is_waited_for(fakes):
    pushed = Pushed(fakes)
    fakes.failures["dequeue"] = [BrokerUnavailable("away")]
    fakes.send()
    thread = threading.Thread(target=pushed.pusher.run)
    thread.start()
    wait_for(lambda: pushed.given)
    fakes.shared.stopping.set()
    thread.join(60)
    assert not thread.is_alive()


# -- renewal ------------------------------------------------------------------------------
class Rounds:
    """The rounds of a renewal, which the test lets begin one by one."""

    def __init__(self, monkeypatch):
        self.asked = []  # the seconds of each pause
        self._begin = queue.Queue()
        monkeypatch.setattr(renewal_module, "pause", self._pause)

    def _pause(self, event, seconds):
        self.asked.append(seconds)
        self._begin.get()
        return event.is_set()

    def begin(self):
        """Let the next round begin, and wait until it has ended."""
        number = len(wait_for(lambda: self.asked))
        self._begin.put(None)
        wait_for(lambda: len(self.asked) > number)

    def end(self, fakes):
        fakes.shared.ended.set()
        self._begin.put(None)


@contextmanager
def renewing(fakes, monkeypatch):
    """Let a renewal run, and begin its rounds."""
    rounds = Rounds(monkeypatch)
    thread = threading.Thread(
        target=LeaseRenewal(
            fakes.services, fakes.shared, Leases(fakes.shared, fakes.ready)
        ).run
    )
    thread.start()
    try:
        yield rounds
    finally:
        rounds.end(fakes)
        thread.join(60)
    assert not thread.is_alive()


def test_leases_are_renewed_before_they_end(fakes, monkeypatch):
    clock = stop_time(monkeypatch)
    job = fakes.claim()
    lease = fakes.conf.retry
    with renewing(fakes, monkeypatch) as rounds:
        for _ in range(8):
            clock.advance(lease / 4)
            rounds.begin()
            assert job.lease_end == clock.at + lease
            assert fakes.claimed == 1
    assert not job.lost
    assert set(rounds.asked) == {lease / 4}, "three rounds may fail before it ends"


def test_a_lease_that_was_lost_is_marked(request):
    fakes = FakeServices(request.node.name)
    kept, lost, settled = fakes.claim(), fakes.claim(), fakes.claim()
    fakes.broker.acknowledge_many([lost.receipt, settled.receipt])
    fakes.shared.settle(settled, JobState.LOST)
    for job in (kept, lost):
        job.lease_end = 0.0
    LeaseRenewal(
        fakes.services, fakes.shared, Leases(fakes.shared, fakes.ready)
    )._renew(fakes.broker)
    assert (kept.lost, lost.lost, settled.lost) == (False, True, False)


def test_what_was_just_claimed_is_not_renewed(fakes):
    fakes.claim()
    LeaseRenewal(
        fakes.services, fakes.shared, Leases(fakes.shared, fakes.ready)
    )._renew(fakes.broker)
    assert "extend" not in fakes.calls


def test_no_lease_is_renewed_where_the_project_sets_it(request):
    fakes = FakeServices(request.node.name, renew=False, retry=0.01)
    fakes.claim()
    LeaseRenewal(
        fakes.services, fakes.shared, Leases(fakes.shared, fakes.ready)
    ).run()  # it returns at once
    assert fakes.calls == []


def test_a_renewal_that_fails_goes_on(fakes, monkeypatch):
    clock = stop_time(monkeypatch)
    job = fakes.claim()
    fakes.failures["extend"] = [BrokerUnavailable("away")]
    with renewing(fakes, monkeypatch) as rounds:
        clock.advance(fakes.conf.retry / 4)
        rounds.begin()
        assert fakes.shared.problems == {"renewal": "away"}
        rounds.begin()
        assert fakes.shared.problems == {}
    assert job.lease_end == clock.at + fakes.conf.retry


# -- timer -------------------------------------------------------------------------------
class StoppedClock:
    """A scheduler that says when it wants to be called again."""

    def __init__(self, answers):
        self.answers = iter(answers)
        self.ticks = 0
        self.closed = False

    def tick(self):
        self.ticks += 1
        answer = next(self.answers, 0.0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.closed = True


def test_the_timer_ticks_as_the_scheduler_asks(fakes, monkeypatch):
    give_own(monkeypatch, scheduling_module, "random", uniform=lambda low, high: 0)
    clockwork = StoppedClock([0.0, Broken("down"), 0.01])
    services = type(fakes.services)
    given = {name: getattr(fakes.services, name) for name in services.__slots__}
    made = services(**(given | {"make_scheduler": lambda: clockwork}))
    thread = threading.Thread(target=Scheduling(made, fakes.shared).run)
    thread.start()
    wait_for(lambda: clockwork.ticks >= 4)
    fakes.shared.stopping.set()
    thread.join(60)
    assert clockwork.closed
    assert fakes.shared.problems == {}


# -- status ------------------------------------------------------------------------------
class News(threading.Event):
    """Wakes a publisher; its sleep ends by nothing else, unless it may by itself."""

    def __init__(self, may_end):
        super().__init__()
        self.sleeps = []  # the seconds that each of them may take
        self.may_end = may_end

    def wait(self, timeout=None):
        self.sleeps.append(timeout)
        return super().wait(timeout if self.may_end else None)


class Stage:
    """A publisher, what it says, and how long each word of it counts."""

    def __init__(self, cycle=0.005, failures=(), sleeps_end=False):
        self.done = 0
        self.growing = 0  # publications in which something new happens
        self.failures = list(failures)
        self.said = []  # (succeeded, seconds until the next one)
        self.taken = self.rests = 0
        self.news = News(sleeps_end)
        self.sleeps = self.news.sleeps
        self.publisher = StatusPublisher(
            self.take, self.publish, cycle, self.news, self.rest
        )
        self.thread = threading.Thread(target=self.publisher.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.publisher.close()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def take(self):
        self.taken += 1
        # every one is of another moment
        return snapshot(at=float(self.taken), succeeded=self.done)

    def rest(self):
        self.rests += 1

    def publish(self, snapshot, pause):
        if self.failures:
            raise self.failures.pop()
        self.said.append((snapshot.succeeded, pause))
        if self.growing:
            self.growing -= 1
            self.done += 1
            self.news.set()


def snapshot(**fields):
    words = ("cluster", "name", "queue", "host", "version", "broker", "state")
    usual = dict.fromkeys(words, "x") | {"sentinel_pid": 1, "dispatcher_pid": 2}
    return Snapshot(**(usual | {"started": 0.0, "at": 0.0, "workers": []} | fields))


def test_a_publisher_publishes_while_something_changes_and_once_more_at_the_end():
    stage = Stage()
    stage.growing = 3
    with stage:
        wait_for(lambda: len(stage.said) >= 5)
    assert [done for done, _ in stage.said] == [0, 1, 2, 3, 3, 3]
    assert [pause for _, pause in stage.said] == [0.005] * 4 + [PAUSE] * 2


def test_the_last_word_of_a_publisher_is_of_the_end():
    with Stage() as stage:
        wait_for(lambda: stage.rests)
        stage.done = 7
    assert stage.said[-1][0] == 7


def test_a_publisher_with_nothing_new_to_say_sleeps():
    with Stage() as stage:
        # the second one says how long the third may take
        wait_for(lambda: stage.sleeps == [PAUSE])
        assert stage.said == [(0, 0.005), (0, PAUSE)]
        assert (stage.taken, stage.rests) == (2, 1)
        stage.done = 1
        stage.news.set()
        wait_for(lambda: len(stage.sleeps) == 2)
        assert stage.said[2:] == [(1, 0.005), (1, PAUSE)]
        assert (stage.taken, stage.rests) == (4, 2), "it looks at nothing meanwhile"


def test_a_publisher_does_not_sleep_for_ever(monkeypatch):
    monkeypatch.setattr(status_module, "PAUSE", 0.02)
    with Stage(sleeps_end=True) as stage:
        wait_for(lambda: len(stage.said) > 4)
    assert {pause for _, pause in stage.said[1:-1]} == {0.02}
    assert stage.rests == 1, "once until something happens"


def test_a_publisher_that_fails_says_so_once(caplog):
    with Stage(failures=[Broken("down")] * 3) as stage:
        wait_for(lambda: stage.said)
    assert not stage.failures, "it was tried again in each round"
    assert caplog.messages == ["status is not published: down"]


# -- relay and sweeps ----------------------------------------------------------------------
class Ticks:
    """Ticks as the test says."""

    def __init__(self, work):
        self.tick = work
        self.closed = 0

    def close(self):
        self.closed += 1


@pytest.mark.fault("J14")
def test_a_sweep_that_hangs_holds_up_nobody_else(fakes):
    """Each plugin, and the relay, has a thread of its own."""
    hangs, sent, release = threading.Event(), threading.Event(), threading.Event()
    sweeps = Ticks(lambda: hangs.set() or release.wait() or 0.0)

    def send():
        if hangs.is_set():
            sent.set()
        return 0.0

    relay = Ticks(send)
    swept = threading.Event()
    other = Ticks(lambda: swept.set() if hangs.is_set() else None or 0.0)
    all_of_them = [
        ("sweeps", "bad", sweeps),
        ("sweeps", "good", other),
        ("relay", "", relay),
    ]
    threads = [
        threading.Thread(
            target=Relaying(who, lambda one=one: one, fakes.shared, of).run
        )
        for who, of, one in all_of_them
    ]
    try:
        for thread in threads:
            thread.start()
        assert sent.wait(60), "the relay waits for the sweep"
        assert swept.wait(60), "another plugin waits for the sweep"
        assert not release.is_set()
    finally:
        fakes.shared.stopping.set()
        release.set()
        for thread in threads:
            thread.join()
    assert (sweeps.closed, other.closed, relay.closed) == (1, 1, 1)


@pytest.mark.fault("J14")
def test_a_thread_that_hangs_is_told_of_until_it_is_back(fakes, monkeypatch, caplog):
    clock = [100.0]
    give_own(monkeypatch, steps, "time", monotonic=lambda: clock[0])
    shared = fakes.shared
    status = ClusterStatus(
        fakes.services, shared, SimpleNamespace(statuses=list), cluster="c", started=0.0
    )
    with shared.steps.of("sweeps limits"), shared.steps.of("relay"):
        clock[0] += steps.LONG - 1
        assert status.snapshot().problem is None
        with shared.steps.of("recorder"):
            clock[0] += 1
            problem = status.snapshot().problem
            assert "recorder" not in problem
        told = "sweeps limits: no answer for 60 s."
        assert told in problem and "relay: no answer for 60 s." in problem
        assert status.snapshot().state == "degraded"
        clock[0] += 59
        assert status.snapshot().problem == problem, "it does not change all the time"
        assert caplog.text.count(told) == 1
    snapshot = status.snapshot()
    assert (snapshot.problem, snapshot.state) == (None, "running")
    with shared.steps.of("sweeps limits"):
        assert status.snapshot().problem is None, "this step is another one"


def test_a_thread_with_nothing_to_tick_ends_at_once(fakes):
    Relaying("sweeps", lambda: None, fakes.shared).run()
    assert not fakes.shared.stopping.is_set()


def test_what_cannot_be_made_is_made_later(fakes, monkeypatch):
    made = []

    def make():
        made.append(1)
        if len(made) == 1:
            raise Broken("away")
        return Ticks(lambda: fakes.shared.stopping.set() or 0.0)

    relaying = Relaying("relay", make, fakes.shared)
    monkeypatch.setattr(relaying._guard, "wait_out", lambda error: None)
    relaying.run()
    assert len(made) == 2
