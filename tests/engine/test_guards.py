"""Errors that nobody has foreseen, in the threads beside the dispatcher's loop."""

from __future__ import annotations

import asyncio
import selectors
import socket
import struct
import threading

import msgspec
import pytest
from chores.ledger import wait_for
from support.fake_services import Broken, FakeServices, Receiver
from support.stepped import Stepped
from support.stopped_clock import stop_time

from qcore.brokers.memory import MemoryBroker
from qcore.engine.dispatcher.capacity import Capacity
from qcore.engine.dispatcher.error_reports import ErrorReports
from qcore.engine.dispatcher.guard import pause
from qcore.engine.dispatcher.handover import Handover
from qcore.engine.dispatcher.leases import Leases
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.outages import Outage
from qcore.engine.dispatcher.pusher import Pusher
from qcore.engine.dispatcher.recorder import Recorder
from qcore.engine.dispatcher.renewal import LeaseRenewal
from qcore.engine.dispatcher.scheduling import Scheduling
from qcore.engine.dispatcher.state import SharedState
from qcore.engine.dispatcher.status import StatusPublisher
from qcore.engine.services import nothing
from qcore.engine.system.process import LONGEST_WAIT
from qcore.engine.wire.messages import pack_run
from qcore.envelope import Attempt, Options, Outcome
from qcore.errors import BrokerError, StoreError, StoreRefused, StoreUnavailable
from qcore.tasks.timeouts import soft_timeout

STRANGE = [
    TypeError("not subscriptable"),
    ValueError("redis://me:secret@there"),
    KeyError("x"),
]


@pytest.fixture
def fakes(request):
    return FakeServices(f"guards {request.node.name}")


class Pushed:
    """A pusher, and what it hands over."""

    def __init__(self, fakes, **services):
        self.fakes = fakes
        self.receiver, capacity = Receiver(), Capacity(100)
        self.given = self.receiver.given
        self.pusher = Pusher(
            msgspec.structs.replace(fakes.services, **services),
            capacity,
            fakes.shared,
            Handover(fakes.shared, capacity, self.receiver),
            fakes.services.report,
        )

    def once(self):
        self.pusher._once(self.fakes.broker)

    @property
    def finished(self):
        return [job for job, _ in self.receiver.finished]

    @property
    def ids(self):
        return [job.task.id for job in self.given]


def leases_of(fakes):
    return Leases(fakes.shared, fakes.ready)


class Running:
    """A thread of the dispatcher, for the length of a ``with``."""

    def __init__(self, run, end):
        self.thread = threading.Thread(target=run, daemon=True)
        self.end = end

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.end()
        self.thread.join(60)
        assert not self.thread.is_alive()


# -- pusher ------------------------------------------------------------------------------
@pytest.mark.fault("A17")
@pytest.mark.parametrize("error", STRANGE, ids=lambda error: type(error).__name__)
def test_a_claim_that_raises_anything_is_one_try(fakes, error, caplog):
    pushed = Pushed(fakes)
    fakes.failures["dequeue"] = [error, error]
    task = fakes.send()
    with Running(pushed.pusher.run, fakes.shared.stopping.set):
        shown = wait_for(lambda: fakes.problems_of("pusher"))[0]
        wait_for(lambda: pushed.ids == [task.id])
        wait_for(lambda: fakes.shared.problems == {})
    assert type(error).__name__ in shown
    assert "secret" not in shown
    assert caplog.text.count("Traceback") == 1, "once, though it came twice"


@pytest.mark.fault("A17")
@pytest.mark.parametrize(
    "fields",
    [
        {"package": None}, {"package": 7}, {"attempt": "abc"}, {"attempt": None},
        {"lease_end": None}, {"lease_end": "soon"},
    ],
    ids=str,
)  # fmt: skip
def test_a_delivery_that_is_none_costs_the_others_nothing(fakes, fields, monkeypatch):
    pushed = Pushed(fakes)
    bad, good = fakes.send(), fakes.send()
    dequeue = fakes.broker.dequeue

    def strange(limit=1, wait=0):
        first, *others = dequeue(limit, wait)
        return [msgspec.structs.replace(first, **fields), *others]

    monkeypatch.setattr(fakes.broker, "dequeue", strange)
    pushed.once()
    assert pushed.ids == [good.id]
    assert len(fakes.store.aside) == 1, "a person sees it"
    assert fakes.claimed == 1
    assert bad.id not in pushed.ids


@pytest.mark.fault("A17")
@pytest.mark.parametrize("attempt", [0, -1, 10**12, 2**63])
def test_a_count_that_no_broker_means_costs_nobody_anything(
    fakes, attempt, monkeypatch
):
    pushed = Pushed(fakes)
    task = fakes.send()
    dequeue = fakes.broker.dequeue
    monkeypatch.setattr(
        fakes.broker,
        "dequeue",
        lambda limit=1, wait=0: [
            msgspec.structs.replace(one, attempt=attempt)
            for one in dequeue(limit, wait)
        ],
    )
    pushed.once()
    pushed.once()  # a count that is large makes it run alone
    (job,) = pushed.given
    assert job.task == task
    assert job.order()
    assert 0 < job.attempt < 2**31


@pytest.mark.fault("A17")
@pytest.mark.parametrize("error", STRANGE, ids=lambda error: type(error).__name__)
def test_a_package_whose_check_raises_anything_is_put_aside(fakes, error):
    bad, good = fakes.send(), fakes.send()
    verify = fakes.services.verify

    def strange(package):
        if (task := verify(package)).id == bad.id:
            raise error
        return task

    pushed = Pushed(fakes, verify=strange)
    pushed.once()
    assert pushed.ids == [good.id]
    assert [reason for _, reason in fakes.store.aside] == [type(error).__name__]


def redeliver(fakes, count):
    """Send tasks, and have them delivered a second time."""
    tasks = [fakes.send() for _ in range(count)]
    deliveries = MemoryBroker.dequeue(fakes.broker, count)
    MemoryBroker.release(fakes.broker, [one.receipt for one in deliveries])
    return tasks


@pytest.mark.fault("A17")
def test_what_the_store_cannot_tell_of_one_task_costs_the_others_nothing(
    fakes, monkeypatch
):
    clock = stop_time(monkeypatch)
    pushed = Pushed(fakes)
    bad, good = redeliver(fakes, 2)
    fresh = fakes.send()
    finished, sick = fakes.store.finished, [True]

    def strange(ids):
        if sick and bad.id in ids:
            raise UnicodeEncodeError("latin-1", "x", 0, 1, "no such character")
        return finished(ids)

    monkeypatch.setattr(fakes.store, "finished", strange)
    pushed.once()
    assert sorted(pushed.ids) == sorted([good.id, fresh.id])
    assert "store" in fakes.shared.problems
    assert len(fakes.shared.held) == 3, "its lease is renewed"
    sick.clear()
    pushed.once()
    assert bad.id not in pushed.ids, "not at once"
    clock.advance(1)
    pushed.once()
    assert bad.id in pushed.ids
    assert fakes.shared.problems == {}


@pytest.mark.fault("A17")
@pytest.mark.parametrize("error", [StoreError("unclear"), StoreRefused("no such id")])
def test_what_the_store_refuses_to_look_up_keeps_nobody_waiting(
    fakes, monkeypatch, error
):
    stop_time(monkeypatch)
    pushed = Pushed(fakes)
    bad, *good = redeliver(fakes, 4)
    finished = fakes.store.finished

    def strange(ids):
        if bad.id in ids:
            raise error
        return finished(ids)

    monkeypatch.setattr(fakes.store, "finished", strange)
    pushed.once()
    assert {task.id for task in good} <= set(pushed.ids)
    # no end of it can have been stored where the store refuses its very id
    assert (bad.id in pushed.ids) == isinstance(error, StoreRefused)


@pytest.mark.fault("A17")
def test_who_has_ended_is_handed_over_once_though_the_next_question_fails(
    fakes, monkeypatch
):
    """Two workers would do what follows of one job, and one of them be killed for it."""
    clock = stop_time(monkeypatch)
    pushed = Pushed(fakes)
    done, doubtful = redeliver(fakes, 2)
    for _ in range(fakes.conf.max_crashes):  # a suspect, by its count
        MemoryBroker.release(
            fakes.broker,
            [one.receipt for one in MemoryBroker.dequeue(fakes.broker, 2)],
        )
    end = Attempt(Outcome.SUCCESS, b"7", "json", 1.0, 2.0)
    fakes.store.save([end.result(done, 1)])
    failures, fetch = [StoreUnavailable("away")] * 2, fakes.store.fetch

    def strange(key):
        if failures:
            raise failures.pop()
        return fetch(key)

    monkeypatch.setattr(fakes.store, "fetch", strange)
    for _ in range(5):
        pushed.once()
        clock.advance(5)
        if not failures:  # as the recorder does; the suspect runs alone
            fakes.shared.settle(pushed.finished[0], JobState.SETTLED)
    assert failures == []
    assert [job.task.id for job in pushed.finished] == [done.id]
    assert pushed.ids == [doubtful.id]


@pytest.mark.fault("A17")
def test_a_store_that_is_away_holds_up_only_what_it_must_tell_of(fakes, monkeypatch):
    clock = stop_time(monkeypatch)
    pushed = Pushed(fakes)
    waiting, lost = redeliver(fakes, 2)
    fakes.failures["finished"] = [StoreError("away")] * 4
    fresh = fakes.send()
    pushed.once()
    assert pushed.ids == [fresh.id]
    for job in fakes.shared.held:
        job.lost = job.task.id == lost.id
    for _ in range(5):
        clock.advance(5)
        pushed.once()
    assert pushed.ids == [fresh.id, waiting.id]
    assert lost.id not in {job.task.id for job in fakes.shared.held}


@pytest.mark.fault("A17")
@pytest.mark.parametrize("away", ["cached", "store"])
def test_a_store_that_is_away_holds_up_no_delivery_of_the_other(
    fakes, monkeypatch, away
):
    clock = stop_time(monkeypatch)
    fakes.cached = FakeServices(f"{fakes.queue} cached").store
    pushed = Pushed(fakes)
    of_database = fakes.send()
    of_cache = fakes.send(options=Options(cached=True))
    deliveries = MemoryBroker.dequeue(fakes.broker, 2)
    MemoryBroker.release(fakes.broker, [one.receipt for one in deliveries])
    store = getattr(fakes, away)
    finished, failures = store.finished, [StoreUnavailable("away")]

    def unreachable(ids):
        if failures:
            raise failures[0]
        return finished(ids)

    monkeypatch.setattr(store, "finished", unreachable)
    pushed.once()
    first, second = of_database, of_cache
    if away == "store":
        first, second = second, first
    assert pushed.ids == [first.id]
    failures.clear()
    clock.advance(5)
    pushed.once()
    assert pushed.ids == [first.id, second.id]


def test_what_waits_for_the_store_is_given_back_at_a_stop(fakes):
    pushed = Pushed(fakes)
    (task,) = redeliver(fakes, 1)
    fakes.failures["finished"] = [StoreError("away")] * 1000
    with Running(pushed.pusher.run, fakes.shared.stopping.set):
        wait_for(lambda: fakes.problems_of("store"))
    assert pushed.ids == [task.id], "to the loop, which gives back what comes then"


# -- renewal ------------------------------------------------------------------------------
@pytest.mark.fault("A17")
@pytest.mark.parametrize("error", [TypeError("what?"), BrokerError("invalid receipt")])
def test_a_receipt_that_cannot_be_renewed_costs_no_other_lease(
    fakes, monkeypatch, error
):
    jobs = [fakes.claim() for _ in range(3)]
    for job in jobs:
        job.lease_end = 0.0
    extend = fakes.broker.extend

    def strange(receipts):
        if jobs[1].receipt in receipts:
            raise error
        return extend(receipts)

    monkeypatch.setattr(fakes.broker, "extend", strange)
    LeaseRenewal(fakes.services, fakes.shared, leases_of(fakes))._renew(fakes.broker)
    assert [job.lease_end > 0 for job in jobs] == [True, False, True]


@pytest.mark.fault("A17")
def test_what_a_driver_says_is_shown_without_its_password(fakes, monkeypatch):
    said = "cannot reach redis://me:hidden@there"
    fakes.shared.report_problem("renewal", said)
    Outage("recorder", fakes.shared, first=0).wait_out(ValueError(said))
    assert len(fakes.shared.problems) == 2
    assert "hidden" not in str(fakes.shared.problems)
    assert "redis://me:***@there" in fakes.shared.problems["recorder"]


@pytest.mark.fault("A17")
def test_a_renewal_whose_broker_cannot_be_made_tries_again(fakes):
    tries = [TypeError("not now")]

    def make():
        if tries:
            raise tries.pop()
        return fakes.broker

    renewal = LeaseRenewal(
        msgspec.structs.replace(fakes.services, make_broker=make),
        fakes.shared,
        leases_of(fakes),
    )
    with Running(renewal.run, fakes.shared.ended.set):
        wait_for(lambda: fakes.shared.renewing)


# -- scheduler and status ----------------------------------------------------------------------
@pytest.mark.fault("A17")
def test_a_scheduler_that_raises_anything_ticks_again(fakes):
    ticks = []

    class Scheduler:
        def tick(self):
            ticks.append(1)
            if len(ticks) == 1:
                raise TypeError("a bug")
            return float("nan") if len(ticks) == 2 else 0.0

        def close(self): ...

    made = [RuntimeError("not yet")]

    def make():
        if made:
            raise made.pop()
        return Scheduler()

    scheduling = Scheduling(
        msgspec.structs.replace(fakes.services, make_scheduler=make), fakes.shared
    )
    with Running(scheduling.run, fakes.shared.stopping.set):
        wait_for(lambda: len(ticks) > 3)
        wait_for(lambda: fakes.shared.problems == {})


@pytest.mark.fault("A17")
@pytest.mark.parametrize("where", ["take", "publish"])
def test_a_cache_that_raises_anything_costs_only_the_status(where, caplog):
    """Its driver is a stranger's, such as Redis: away for 15 s it ended nine dispatchers."""
    failures = [ConnectionError("away")] * 3
    said = []

    def strange(what):
        if where == what and failures:
            raise failures.pop()

    def take():
        strange("take")
        return object()

    def publish(_snapshot, _pause):
        strange("publish")
        said.append(1)

    publisher = StatusPublisher(take, publish, 0.005, threading.Event(), nothing)
    status_function = "qcore.engine.dispatcher.status._is_same"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status_function, lambda *_: False)
        with Running(publisher.run, publisher.close):
            wait_for(lambda: len(said) > 2)
    assert caplog.text.count("status is not published: ConnectionError: away") == 1


# -- the end -----------------------------------------------------------------------------
@pytest.mark.fault("A17")
@pytest.mark.parametrize("thread", ["pusher", "recorder", "renewal", "scheduler"])
def test_a_connection_that_cannot_be_closed_spoils_no_stop(fakes, monkeypatch, thread):
    tried, ticks = [], []

    def broken():
        tried.append(1)
        raise ConnectionError("it has gone")

    class Scheduler:
        close = staticmethod(broken)

        def tick(self):
            ticks.append(1)
            return 0.0

    monkeypatch.setattr(fakes.broker, "close", broken)
    services = msgspec.structs.replace(fakes.services, make_scheduler=Scheduler)
    recorder = Recorder(services, fakes.shared, fakes.ready)
    run, has_begun, stop = {
        "pusher": (
            Pushed(fakes).pusher.run,
            lambda: "dequeue" in fakes.calls,
            fakes.shared.stopping.set,
        ),
        "recorder": (recorder.run, lambda: True, recorder.close),
        "renewal": (
            LeaseRenewal(services, fakes.shared, leases_of(fakes)).run,
            lambda: fakes.shared.renewing,
            fakes.shared.ended.set,
        ),
        "scheduler": (
            Scheduling(services, fakes.shared).run,
            lambda: ticks,
            fakes.shared.stopping.set,
        ),
    }[thread]
    ended = []
    with Running(lambda: ended.append(run()), stop):
        wait_for(has_begun)
    assert (len(tried), len(ended)) == (1, 1)


# -- what is no Exception ------------------------------------------------------------------
LEAVING = [SystemExit(3), asyncio.CancelledError()]


@pytest.mark.fault("A17")
@pytest.mark.parametrize("error", LEAVING, ids=lambda error: type(error).__name__)
def test_who_leaves_a_thread_does_not_end_it(fakes, error):
    """A receiver that calls sys.exit, or a coroutine of it that is cancelled."""
    pushed = Pushed(fakes)
    fakes.failures["dequeue"] = [error]
    task = fakes.send()
    ticks = []

    class Scheduler:
        def tick(self):
            ticks.append(1)
            if len(ticks) == 1:
                raise error
            return 0.0

        def close(self): ...

    services = msgspec.structs.replace(fakes.services, make_scheduler=Scheduler)
    scheduling = Scheduling(services, fakes.shared)
    with (
        Running(pushed.pusher.run, fakes.shared.stopping.set),
        Running(scheduling.run, fakes.shared.stopping.set),
    ):
        wait_for(lambda: pushed.ids == [task.id] and len(ticks) > 2)
        wait_for(lambda: fakes.shared.problems == {})


@pytest.mark.fault("A17")
@pytest.mark.parametrize("error", LEAVING, ids=lambda error: type(error).__name__)
def test_a_reporter_that_leaves_ends_nothing(error, caplog):
    told = []

    def leave(*failure):
        told.append(failure)
        raise error

    reports = ErrorReports(leave, leave)
    with Running(reports.run, reports.close):
        reports.put(*failure("one"))
        reports.put(*failure("another"))
    assert told == [failure("one"), failure("another"), ()]
    assert "were not flushed" in caplog.text


def failure(text):
    return None, 1, Outcome.CRASH, text, "host:1", None


# -- reporters -----------------------------------------------------------------------------
@pytest.mark.fault("A19")
def test_a_reporter_that_waits_holds_up_nobody(caplog):
    told, go, flushed = [], threading.Event(), []

    def report(*given):
        go.wait(20)
        told.append(given[3])
        if given[3] == 1:
            raise ValueError("and fails")

    reports = ErrorReports(report, lambda: flushed.append(len(told)))
    with Running(reports.run, reports.close):
        for number in range(700):
            reports.put(*failure(number))  # it returns at once
        assert told == []
        assert reports.dropped >= 700 - 502
        assert "reports were dropped" in caplog.text
        go.set()
    assert told[:3] == [0, 1, 2]
    assert len(told) + reports.dropped == 700
    assert flushed == [len(told)], "last of all"


def test_what_a_stop_leaves_unreported_is_told(caplog):
    reports = ErrorReports(nothing, nothing)
    reports.tell_left()
    assert caplog.text == ""
    reports.put(*failure("a failure"))
    reports.tell_left()
    assert "1 reports were not sent" in caplog.text


# -- numbers -------------------------------------------------------------------------------
HUGE = [30 * 86400.0, 1e12, 1e300]


@pytest.mark.fault("A18")
@pytest.mark.parametrize("seconds", HUGE)
def test_no_wait_of_the_loop_is_longer_than_the_system_takes(monkeypatch, seconds):
    clock = stop_time(monkeypatch)
    it = Stepped(
        f"huge {seconds}", clock, lambda note: None, retry=seconds, timeout=seconds,
        grace=seconds, workers=1, renew=False,
    )  # fmt: skip
    try:
        it.turn()
        it.fakes.send()
        it.push()
        it.turn()
        it.stop(seconds)
        it.turn()
        it.shared.stopping.clear()  # which is looked at often
        wait = it.loop._time_left()
    finally:
        it.lose()
    assert 0 < wait <= LONGEST_WAIT
    one, other = socket.socketpair()
    with selectors.DefaultSelector() as selector, one, other:
        selector.register(one, selectors.EVENT_READ)
        other.send(b"x")
        assert selector.select(wait)


@pytest.mark.fault("A18")
@pytest.mark.parametrize("seconds", [*HUGE, float("inf"), -1.0])
def test_a_thread_waits_as_long_as_a_lock_can(seconds):
    event = threading.Event()
    event.set()
    assert pause(event, seconds)


@pytest.mark.fault("A18")
@pytest.mark.parametrize("seconds", [*HUGE, None])
def test_a_timeout_may_be_longer_than_an_alarm(seconds):
    with soft_timeout(seconds):
        pass


# -- what threads share ----------------------------------------------------------------------
@pytest.mark.fault("A20")
def test_settling_a_job_leaves_the_copy_that_was_claimed_meanwhile(fakes):
    """Loop and recorder settle, and the loop assigns a copy: none undoes the other's."""
    job = fakes.claim()
    copy = fakes.claim()
    other = fakes.shared
    other.active[job.task.id] = job

    class Between(dict):
        def pop(self, key, default=None):
            self[key] = copy  # now
            return super().pop(key, default)

    other.active = Between(other.active)
    other.settle(job, JobState.LOST)
    assert other.active == {job.task.id: copy}
    assert other.held == {copy}


@pytest.mark.fault("A20")
def test_two_threads_may_settle_the_same_job(fakes):
    shared = SharedState()
    jobs = [fakes.claim() for _ in range(200)]
    shared.held.update(jobs)
    shared.active.update({job.task.id: job for job in jobs})
    threads = [
        threading.Thread(
            target=lambda: [shared.settle(job, JobState.LOST) for job in jobs]
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (shared.held, shared.active) == (set(), {})


@pytest.mark.fault("A20")
def test_the_loop_looks_at_what_it_shares_while_nobody_else_assigns(fakes, monkeypatch):
    """The pusher assigns in its place: sets and heaps changed under its eyes before."""
    clock = stop_time(monkeypatch)
    it = Stepped("shared", clock, lambda note: None, workers=1)
    try:
        looked = []
        time_left = it.loop._time_left
        monkeypatch.setattr(
            it.loop,
            "_time_left",
            lambda: looked.append(it.loop._turn.locked()) or time_left(),
        )
        it.turn()
        assert looked == [True]
    finally:
        it.lose()


def test_an_order_that_cannot_be_written_fails_its_task_alone(fakes, monkeypatch):
    clock = stop_time(monkeypatch)
    it = Stepped("orders", clock, lambda note: None, workers=1)
    try:
        it.turn()
        it.turn()
        bad, good = it.fakes.send(), it.fakes.send()

        def strange(package, attempt, number):
            if it.fakes.services.verify(package).id == bad.id:
                raise struct.error("int too large to convert")
            return pack_run(package, attempt, number)

        monkeypatch.setattr("qcore.engine.dispatcher.job.pack_run", strange)
        it.push()
        it.turn()
        it.record()
        it.begin(it.workers[0])
        assert it.task_of(it.workers[0].current).id == good.id
        assert it.fakes.store.fetch(bad.id).outcome == Outcome.FAILURE
    finally:
        it.lose()


def test_broken_is_foreseen(fakes, caplog):
    pushed = Pushed(fakes)
    fakes.failures["dequeue"] = [Broken("away")]
    with Running(pushed.pusher.run, fakes.shared.stopping.set):
        wait_for(lambda: fakes.problems_of("pusher"))
    assert "Traceback" not in caplog.text
