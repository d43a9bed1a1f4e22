"""The other threads of the dispatcher: pusher, keeper, timer, herald."""

from __future__ import annotations

import threading
import time

import pytest
from chores.ledger import wait_for
from chores.twin import Broken, Twin
from support.later_packages import of_a_later_release

from qcore.engine.dispatcher import pusher as pusher_module
from qcore.engine.dispatcher import scheduling as scheduling_module
from qcore.engine.dispatcher import status as status_module
from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.pusher import Pusher
from qcore.engine.dispatcher.renewal import LeaseRenewal
from qcore.engine.dispatcher.scheduling import Scheduling
from qcore.engine.dispatcher.status import StatusPublisher
from qcore.engine.services import nothing
from qcore.envelope import Options, Outcome, Result
from qcore.errors import BrokerUnavailable
from qcore.signing import Signer
from qcore.status import PAUSE, Snapshot
from qcore.testing.speed import stretched


@pytest.fixture
def twin(request):
    return Twin(f"threads {request.node.name}")


class OrderReader:
    """A pusher, and what it hands over."""

    def __init__(self, twin, capacity=100):
        self.twin = twin
        self.given = []
        self.finished = []
        self.pusher = Pusher(
            twin.services,
            Capacity(capacity),
            twin.shared,
            self.given.extend,
            lambda job, end: self.finished.append((job, end)),
        )

    def once(self):
        self.pusher._once(self.twin.broker)


def store(twin, task, outcome=Outcome.SUCCESS, value=b"7", attempt=1):
    result = Result(
        task=task, outcome=outcome, value=value,
        content="json" if outcome == Outcome.SUCCESS else "text",
        started=1.0, stopped=2.0, attempt=attempt,
    )  # fmt: skip
    twin.store.save([result])


# -- pusher ------------------------------------------------------------------------------
def test_deliveries_become_jobs(twin):
    intake = OrderReader(twin)
    tasks = [twin.send() for _ in range(3)]
    intake.once()
    assert [job.task for job in intake.given] == tasks
    assert twin.shared.held == set(intake.given)
    assert not twin.shared.queue_empty.is_set()
    assert "finished" not in twin.calls, "a first attempt costs no query"
    intake.once()
    assert twin.shared.queue_empty.is_set()


def test_no_more_is_claimed_than_there_is_room_for(twin):
    intake = OrderReader(twin, capacity=2)
    for _ in range(5):
        twin.send()
    intake.once()
    assert len(intake.given) == 2
    assert twin.waiting == 3


def test_a_bad_package_costs_the_others_nothing(twin):
    intake = OrderReader(twin)
    twin.broker.enqueue(b"not a package")
    good = twin.send()
    twin.broker.enqueue(Signer(["another"], twin.conf.name).sign(twin.task()))
    twin.failures["quarantine"] = [Broken("down")]
    intake.once()
    assert [job.task for job in intake.given] == [good]
    assert len(twin.store.aside) == 1, "nor does one of them cost the other anything"
    assert twin.claimed == 2, "what was not put aside is not removed either"


def test_bad_packages_are_put_aside_and_removed(twin):
    intake = OrderReader(twin)
    twin.broker.enqueue(b"not a package")
    twin.broker.enqueue(Signer(["another"], twin.conf.name).sign(twin.task()))
    twin.broker.enqueue(twin.signer.sign(twin.task(queue="elsewhere")))
    intake.once()
    assert intake.given == []
    assert [reason for _, reason in twin.store.aside] == [
        "BadPackage", "BadSignature", "BadSignature",
    ]  # fmt: skip
    assert twin.shared.quarantined == 3
    assert (twin.waiting, twin.claimed) == (0, 0)


def test_a_package_of_a_later_release_is_given_back_for_a_while(twin):
    intake = OrderReader(twin)
    package = twin.signer.sign(twin.task())
    twin.broker.enqueue(of_a_later_release(package, twin.signer))
    intake.once()
    assert intake.given == []
    assert (twin.waiting, twin.claimed) == (1, 0)
    assert twin.broker.dequeue(1) == [], "not at once"


@pytest.mark.fault("G19")
def test_a_forged_package_is_put_aside_at_once_whatever_version_it_claims(twin):
    intake = OrderReader(twin)
    twin.broker.enqueue(
        of_a_later_release(twin.signer.sign(twin.task()), Signer(["another"], "x"))
    )
    intake.once()
    assert [reason for _, reason in twin.store.aside] == ["BadSignature"]
    assert (twin.waiting, twin.claimed) == (0, 0)


@pytest.mark.fault("G9")
def test_a_package_that_no_cluster_can_read_is_put_aside_in_the_end(twin, monkeypatch):
    intake = OrderReader(twin)
    monkeypatch.setattr(pusher_module, "_NEWER_DELAY", 0)
    package = twin.signer.sign(twin.task())
    twin.broker.enqueue(of_a_later_release(package, twin.signer))
    for _ in range(pusher_module._NEWER_TIMES):
        intake.once()
        assert (twin.waiting, twin.claimed, twin.store.aside) == (1, 0, [])
    intake.once()
    assert [reason for _, reason in twin.store.aside] == ["NewerPackage"]
    assert (twin.waiting, twin.claimed) == (0, 0)


@pytest.mark.fault("D8")
def test_a_copy_of_what_is_in_our_hands_is_left_to_its_lease(twin):
    """It would pass the look into the store, and be dealt when the first has ended."""
    intake = OrderReader(twin)
    task = twin.send()
    intake.once()
    (first,) = intake.given
    twin.broker.enqueue(twin.signer.sign(task))
    twin.broker.release([d.receipt for d in twin.broker.dequeue(9)])
    intake.once()
    assert intake.given == [first]
    assert twin.claimed == 2
    first.lost = True  # then the copy is what there is
    twin.broker.release([d.receipt for d in twin.broker.dequeue(9)])
    twin.broker.enqueue(twin.signer.sign(task))
    twin.broker.release([d.receipt for d in twin.broker.dequeue(9)])
    intake.once()
    assert len(intake.given) == 2


def test_a_stored_success_is_only_settled(twin):
    intake = OrderReader(twin)
    task, fresh = twin.send(), twin.send()
    store(twin, task)
    twin.broker.release([d.receipt for d in twin.broker.dequeue(9)])
    intake.once()
    assert [job.task for job in intake.given] == [fresh]
    ((job, end),) = intake.finished
    assert (job.task, job.attempt) == (task, 2)
    assert (end.outcome, end.content, end.value) == (Outcome.SUCCESS, "json", b"7")
    assert twin.shared.held == {job, *intake.given}


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
def test_the_failure_of_a_last_attempt_is_only_settled(twin, limit, stored, outcome):
    intake = OrderReader(twin)
    task = twin.send(options=Options(max_attempts=limit))
    if stored:
        store(twin, task, outcome or Outcome.FAILURE, b"ValueError: no", stored)
    twin.broker.release([d.receipt for d in twin.broker.dequeue(9)])
    intake.once()
    ended = [(job.task, end.outcome, end.value) for job, end in intake.finished]
    assert ended == ([(task, outcome, b"ValueError: no")] if outcome else [])
    assert [job.task for job in intake.given] == ([] if outcome else [task])


@pytest.mark.parametrize("fields", [{"link": 1}, {"slot": 1.0}])
def test_what_may_be_doubled_is_looked_up_at_its_first_attempt(twin, fields):
    intake = OrderReader(twin)
    task = twin.send(**fields)
    store(twin, task)
    intake.once()
    assert intake.given == []
    assert intake.finished[0][0].task == task


def test_a_broker_that_is_away_is_waited_for(twin):
    intake = OrderReader(twin)
    twin.failures["dequeue"] = [BrokerUnavailable("away")]
    twin.send()
    thread = threading.Thread(target=intake.pusher.run)
    thread.start()
    wait_for(lambda: intake.given)
    twin.shared.stopping.set()
    thread.join(5)
    assert not thread.is_alive()


# -- keeper ------------------------------------------------------------------------------
def test_leases_are_renewed_before_they_end(request):
    lease = stretched(0.4)
    twin = Twin(request.node.name, retry=lease)
    job = twin.claim()
    first = job.lease_end
    thread = threading.Thread(
        target=LeaseRenewal(twin.services, twin.shared, nothing).run
    )
    thread.start()
    wait_for(lambda: time.monotonic() > first + lease)
    assert twin.claimed == 1
    assert job.lease_end > first + 0.75 * lease
    assert not job.lost
    twin.shared.ended.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_lease_that_was_lost_is_marked(request):
    twin = Twin(request.node.name, retry=0.2)
    kept, lost, settled = twin.claim(), twin.claim(), twin.claim()
    twin.broker.acknowledge_many([lost.receipt, settled.receipt])
    twin.shared.settle(settled)
    for job in (kept, lost):
        job.lease_end = 0.0
    LeaseRenewal(twin.services, twin.shared, nothing)._renew(twin.broker)
    assert (kept.lost, lost.lost, settled.lost) == (False, True, False)


def test_what_was_just_claimed_is_not_renewed(twin):
    twin.claim()
    LeaseRenewal(twin.services, twin.shared, nothing)._renew(twin.broker)
    assert "extend" not in twin.calls


def test_no_lease_is_renewed_where_the_project_sets_it(request):
    twin = Twin(request.node.name, renew=False, retry=0.01)
    twin.claim()
    LeaseRenewal(twin.services, twin.shared, nothing).run()  # it returns at once
    assert twin.calls == []


def test_a_keeper_that_fails_goes_on(request):
    twin = Twin(request.node.name, retry=stretched(0.4))
    job = twin.claim()
    job.lease_end = 0.0
    twin.failures["extend"] = [BrokerUnavailable("away")]
    thread = threading.Thread(
        target=LeaseRenewal(twin.services, twin.shared, nothing).run
    )
    thread.start()
    wait_for(lambda: "renewal" in twin.shared.problems)
    wait_for(lambda: "renewal" not in twin.shared.problems)
    twin.shared.ended.set()
    thread.join(5)
    assert job.lease_end > 0


# -- timer -------------------------------------------------------------------------------
class Clockwork:
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


def test_the_timer_ticks_as_the_scheduler_asks(twin, monkeypatch):
    monkeypatch.setattr(scheduling_module.random, "uniform", lambda low, high: 0)
    clockwork = Clockwork([0.0, Broken("down"), 0.01])
    services = type(twin.services)
    given = {name: getattr(twin.services, name) for name in services.__slots__}
    made = services(**(given | {"make_scheduler": lambda: clockwork}))
    thread = threading.Thread(target=Scheduling(made, twin.shared).run)
    thread.start()
    wait_for(lambda: clockwork.ticks >= 4)
    twin.shared.stopping.set()
    thread.join(5)
    assert clockwork.closed
    assert twin.shared.problems == {}


# -- herald ------------------------------------------------------------------------------
class Stage:
    """A herald, what it says, and how long each word of it counts."""

    def __init__(self, cycle=0.005, failures=()):
        self.done = 0
        self.failures = list(failures)
        self.said = []  # (succeeded, seconds until the next one)
        self.taken = self.rests = 0
        self.news = threading.Event()
        self.publisher = StatusPublisher(
            self.take, self.publish, cycle, self.news, self.rest
        )
        self.thread = threading.Thread(target=self.publisher.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.publisher.close()
        self.thread.join(5)
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


def snapshot(**fields):
    words = ("cluster", "name", "queue", "host", "version", "broker", "state")
    usual = dict.fromkeys(words, "x") | {"sentinel_pid": 1, "dispatcher_pid": 2}
    return Snapshot(**(usual | {"started": 0.0, "at": 0.0, "workers": []} | fields))


def test_a_herald_publishes_while_something_changes_and_once_more_at_the_end():
    with Stage() as stage:

        def grown():
            stage.done += 1
            stage.news.set()
            return len(stage.said) > 3

        wait_for(grown)
    assert len({done for done, _ in stage.said}) > 2
    assert {pause for _, pause in stage.said[:2]} == {0.005}
    assert stage.said[-1][0] == stage.done, "the last word is of the end"


def test_a_herald_with_nothing_new_to_say_sleeps():
    with Stage() as stage:
        # the second one says how long the third may take
        wait_for(lambda: len(stage.said) == 2)
        assert stage.said == [(0, 0.005), (0, PAUSE)]
        time.sleep(0.1)
        assert stage.taken == 2, "it looks at nothing meanwhile"
        assert stage.rests == 1
        stage.done = 1
        stage.news.set()
        wait_for(lambda: (1, 0.005) in stage.said)
        wait_for(lambda: stage.rests == 2)


def test_a_herald_does_not_sleep_for_ever(monkeypatch):
    monkeypatch.setattr(status_module, "PAUSE", 0.02)
    with Stage() as stage:
        wait_for(lambda: len(stage.said) > 4)
    assert {pause for _, pause in stage.said[1:-1]} == {0.02}
    assert stage.rests == 1, "once until something happens"


def test_a_herald_that_fails_says_so_once(caplog):
    with Stage(failures=[Broken("down")] * 3) as stage:
        wait_for(lambda: stage.said)
    assert not stage.failures, "it was tried again in each round"
    assert caplog.messages == ["status is not published: down"]
