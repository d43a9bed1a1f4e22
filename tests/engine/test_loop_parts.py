"""The parts of the dispatcher's loop: room, deadlines, obituaries, crew, back-off."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time

import pytest
from chores.ledger import wait_for
from hypothesis import given
from hypothesis import strategies as st

from qcore.engine.backoff import Backoff
from qcore.engine.crew import BOTH, READ, Crew, Hand
from qcore.engine.deadlines import Deadlines
from qcore.engine.job import Job
from qcore.engine.link import Link, read_frame
from qcore.engine.messages import END, unpack_order
from qcore.engine.obituaries import Obituaries
from qcore.engine.pace import Pace
from qcore.engine.patience import Patience
from qcore.engine.room import Room
from qcore.engine.tally import Tally
from qcore.envelope import Delivery, Task, new_id


def make_job(**task):
    fields = {
        "id": new_id(),
        "name": "n",
        "func": "a.b",
        "queue": "q",
        "created": 0.0,
        "content": "json",
        "body": b"[[],{}]",
    }
    return Job(Task(**(fields | task)), Delivery(("r", 1), b"p", 1, 100.0))


class Bench:
    """A crew whose workers are this test."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.crew = Crew(self.selector)
        self.ends = {}

    def hire(self, pid, *, ready=True):
        ours, theirs = socket.socketpair()
        hand = Hand(pid, pid, Link(ours))
        self.ends[pid] = theirs
        self.crew.welcome(hand)
        if ready:
            self.crew.begin(hand)
        return hand

    def events(self, hand):
        return self.selector.get_key(hand.link).events

    def close(self):
        for hand in self.crew:
            self.crew.dismiss(hand)
        for end in self.ends.values():
            end.close()
        self.selector.close()


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


# -- crew ----------------------------------------------------------------------------
def test_a_worker_that_has_not_come_up_gets_nothing(bench):
    hand = bench.hire(1, ready=False)
    assert not bench.crew.idle
    assert bench.crew.statuses()[0].state == "starting"
    bench.crew.begin(hand)
    assert list(bench.crew.idle) == [hand]


def test_the_worker_that_was_busy_last_is_asked_first(bench):
    first, second = bench.hire(1), bench.hire(2)
    assert bench.crew.idle.pop() is second
    bench.crew.free(second)
    assert bench.crew.idle.pop() is second
    assert bench.crew.idle.pop() is first


def test_an_order_to_a_stopped_worker_waits_in_parts(bench):
    """The loop goes on meanwhile, and sends the rest when the worker reads again."""
    hand = bench.hire(1)
    order = os.urandom(3_000_000)
    assert bench.crew.order(hand, order)
    assert bench.events(hand) == BOTH
    bench.crew.flush(hand)
    assert bench.events(hand) == BOTH, "nobody has read"
    found = []
    reader = threading.Thread(target=lambda: found.append(read_frame(bench.ends[1])))
    reader.start()
    while bench.events(hand) == BOTH:
        bench.selector.select(5)
        bench.crew.flush(hand)
    reader.join()
    assert found == [order]
    assert bench.events(hand) == READ


def test_an_order_to_a_worker_that_has_gone(bench):
    hand = bench.hire(1)
    bench.ends[1].close()
    assert not bench.crew.order(hand, b"order")


def test_a_worker_that_dies_with_half_an_order(bench):
    hand = bench.hire(1)
    bench.crew.order(hand, bytes(3_000_000))
    bench.ends[1].close()
    bench.crew.flush(hand)
    assert bench.events(hand) == READ, "its end is heard of by reading"


def heard(bench, pid):
    """What a worker has been told, if anything."""
    bench.ends[pid].setblocking(False)
    try:
        return unpack_order(read_frame(bench.ends[pid])).kind
    except BlockingIOError:
        return None


def test_end_all(bench):
    idle, busy, young = bench.hire(1), bench.hire(2), bench.hire(3, ready=False)
    bench.crew.idle.remove(busy)
    busy.job = make_job()
    bench.crew.end_all()
    bench.crew.end_all()
    assert not bench.crew.idle
    assert (heard(bench, 1), heard(bench, 2), heard(bench, 3)) == (END, None, END)
    assert heard(bench, 1) is None, "once is enough"
    bench.crew.begin(young)
    bench.crew.free(busy)
    assert heard(bench, 2) == END
    assert not bench.crew.idle
    assert {s.state for s in bench.crew.statuses()} == {"ending"}
    assert idle.ending


def test_dismiss(bench):
    hand = bench.hire(1)
    bench.crew.dismiss(hand)
    assert (len(bench.crew), list(bench.crew.idle)) == (0, [])
    assert bench.crew.get(1) is None


def test_statuses(bench):
    busy, _ = bench.hire(2), bench.hire(1)
    busy.job = make_job(name="mail", func="shop.mail")
    busy.job.dealt = time.monotonic() - 3
    first, second = bench.crew.statuses()
    assert (first.index, first.state) == (1, "idle")
    assert (second.state, second.task_name, second.func) == (
        "busy",
        "mail",
        "shop.mail",
    )
    assert second.seconds == pytest.approx(3, abs=0.5)


# -- deadlines -----------------------------------------------------------------------
@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=20))
def test_deadlines_pass_in_order_and_only_for_what_runs(limits):
    deadlines = Deadlines()
    expected = []
    for when, ended in limits:
        hand, job = Hand(1, 1, link=None), make_job()
        hand.job = None if ended else job
        deadlines.add(float(when), hand, job)
        if not ended:
            expected.append((float(when), job))
    expected.sort(key=lambda pair: pair[0])
    assert deadlines.next() == (expected[0][0] if expected else None)
    early = [job for when, job in expected if when <= 25]
    late = [job for when, job in expected if when > 25]
    assert [job for _, job in deadlines.passed(25.0)] == early
    assert deadlines.passed(25.0) == [], "each once"
    assert [job for _, job in deadlines.passed(50.0)] == late


def test_a_deadline_of_an_earlier_task_is_not_that_of_the_next():
    deadlines = Deadlines()
    hand, first, second = Hand(1, 1, link=None), make_job(), make_job()
    deadlines.add(1.0, hand, first)
    hand.job = second
    deadlines.add(9.0, hand, second)
    assert deadlines.passed(5.0) == []
    assert deadlines.next() == 9.0


# -- obituaries ------------------------------------------------------------------------
def test_a_death_and_how_it_came():
    obituaries, hand = Obituaries(), Hand(7, 1, link=None, job=make_job())
    obituaries.gone(hand)
    assert len(obituaries) == 1
    how = "killed by SIGKILL, probably out of memory"
    assert obituaries.died(7, 9) == (hand, hand.job, how)
    assert len(obituaries) == 0
    assert obituaries.next() is None


def test_a_death_without_a_job_is_nobodys_affair():
    obituaries, hand = Obituaries(), Hand(7, 1, link=None)
    assert obituaries.died(7, 3 << 8) is None
    obituaries.gone(hand)
    assert len(obituaries) == 0, "no stop waits for it"
    assert obituaries.died(7, 3 << 8) == (hand, None, "exit code 3")


@pytest.mark.fault("B26")
@pytest.mark.parametrize("has_job", [True, False])
def test_a_process_that_does_not_end_is_killed_until_it_is_dead(has_job):
    obituaries, hand = Obituaries(), Hand(7, 1, link=None)
    hand.job = make_job() if has_job else None
    obituaries.gone(hand)
    for _ in range(3):
        at = obituaries.next()
        assert obituaries.undead(at - 0.1) == []
        assert obituaries.undead(at) == [hand]
        assert obituaries.undead(at) == [], "not at once again"
        assert len(obituaries) == has_job, "nobody else may have its job"


# -- room --------------------------------------------------------------------------------
def test_room_is_what_may_wait_and_who_is_idle():
    room = Room(4)
    room.update(0, waiting=0, idle=2, limit=4)
    assert room.wait(0) == 6
    room.arrive(5)
    assert room.wait(0) == 1
    room.update(5, waiting=3, idle=0, limit=4)
    assert room.wait(0) == 1
    room.update(0, waiting=4, idle=0, limit=4)
    assert room.wait(0) == 0
    room.update(0, waiting=4, idle=0, limit=9)
    assert room.wait(0) == 5, "the limit may grow with the pace of the tasks"


@given(
    limit=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=30),
)
def test_the_room_is_never_overdrawn(limit, steps):
    """Whatever the pace of pusher and loop, no more waits than may."""
    room, arriving, waiting = Room(limit), 0, 0
    for wanted, idle in steps:
        room.update(0, waiting, idle, limit)
        taken = min(wanted, room.wait(0))
        room.arrive(taken)
        arriving += taken
        assert waiting + arriving <= limit + idle
        waiting = max(0, waiting + arriving - idle)
        room.update(arriving, waiting, 0, limit)
        arriving = 0


def test_the_pusher_is_woken_when_half_is_free():
    room = Room(10)
    room.update(0, waiting=10, idle=0, limit=10)
    found = []
    thread = threading.Thread(target=lambda: found.append(room.wait(20)))
    thread.start()
    while not room._sleeping:
        time.sleep(0.001)
    room.update(0, waiting=6, idle=0, limit=10)
    assert thread.is_alive(), "four are too few to bother"
    room.update(0, waiting=5, idle=0, limit=10)
    thread.join(5)
    assert found == [5]


def test_a_closed_room_wakes_and_has_no_place():
    room = Room(1)
    room.update(0, waiting=1, idle=0, limit=1)
    found = []
    thread = threading.Thread(target=lambda: found.append(room.wait(20)))
    thread.start()
    room.close()
    thread.join(5)
    assert found == [0]
    room.update(0, waiting=0, idle=5, limit=1)
    assert room.wait(0) == 0


# -- pace --------------------------------------------------------------------------------
def test_the_pace_is_that_of_the_last_moments():
    pace = Pace(0.0)
    assert pace.ahead() == 0
    for step in range(1, 100):
        pace.note(20, step / 50)
    assert pace.ahead() == pytest.approx(50, abs=1), "1000 a second, for 50 ms"
    for step in range(100, 200):
        pace.note(0, step / 50)
    assert pace.ahead() == 0


def test_the_pace_looks_no_further_than_a_thousand_tasks():
    pace = Pace(0.0)
    pace.note(10**9, 1.0)
    assert pace.ahead() == 1000


# -- back-off ----------------------------------------------------------------------------
def test_a_process_that_dies_in_its_start_is_replaced_ever_later():
    backoff = Backoff()
    delays = [backoff.after(0.05, well=False) for _ in range(12)]
    assert delays[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 30.0


@pytest.mark.parametrize(("lifetime", "well"), [(0.05, True), (2.0, False)])
def test_a_good_life_ends_the_back_off(lifetime, well):
    backoff = Backoff()
    for _ in range(5):
        backoff.after(0.05, well=False)
    assert backoff.after(lifetime, well) == 0.0
    assert backoff.after(0.05, well=False) == 0.0
    assert backoff.after(0.05, well=False) == 0.1


# -- patience ------------------------------------------------------------------------------
def test_patience_shows_the_problem_while_it_lasts(caplog):
    tally = Tally()
    patience = Patience("pusher", tally, first=0.001, longest=0.004)
    with caplog.at_level(logging.INFO, "qcore.pusher"):
        for _ in range(4):
            patience.bear(OSError("no broker"))
        assert tally.problems == {"pusher": "no broker"}
        patience.succeed()
        patience.succeed()
    assert tally.problems == {}
    assert [record.message for record in caplog.records] == [
        "no broker; trying again in 0.0 s"
    ] * 4 + ["working again"]


class Stopping:
    """An event that is not waited for, and that says how long it would have been."""

    def __init__(self):
        self.waits = []
        self.is_there = False

    def is_set(self):
        return self.is_there

    def wait(self, seconds):
        self.waits.append(seconds)


def test_a_pause_is_a_part_of_the_time_that_the_trouble_has_lasted(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("qcore.engine.patience.time.monotonic", lambda: clock[0])
    tally = Tally(stopping=Stopping())
    patience = Patience("pusher", tally)
    for clock[0] in (0.0, 0.4, 2.0, 100.0):
        patience.bear(OSError("no broker"))
    patience.succeed()
    patience.bear(OSError("no broker"))
    assert tally.stopping.waits == [0.2, 0.2, 0.5, 5.0, 0.2]


@pytest.mark.fault("E17")
def test_a_stop_shortens_the_pauses_and_skips_none(monkeypatch):
    """Without any, one thread made 4,000 tries a second, each with a line in the log."""
    clock, slept = [0.0], []
    monkeypatch.setattr("qcore.engine.patience.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("qcore.engine.patience.time.sleep", slept.append)
    tally = Tally(stopping=Stopping())
    patience = Patience("recorder", tally)
    patience.bear(OSError("no database"))
    tally.stopping.is_there = True
    for clock[0] in (1.0, 30.0, 300.0):
        patience.bear(OSError("no database"))
    assert slept == [0.2, 0.2, 0.2]


def test_patience_ends_at_a_stop():
    tally = Tally()
    patience = Patience("pusher", tally, first=300)
    waits = threading.Thread(target=patience.bear, args=[OSError("no broker")])
    waits.start()
    wait_for(lambda: tally.problems)
    tally.stopping.set()
    waits.join(60)
    assert not waits.is_alive()


# -- tally ---------------------------------------------------------------------------------
def test_settling_a_delivery_forgets_the_newest_only():
    tally, older, newer = Tally(), make_job(id="a" * 32), make_job(id="a" * 32)
    tally.held |= {older, newer}
    tally.active["a" * 32] = newer
    tally.settle(older)
    assert (tally.held, tally.active) == ({newer}, {"a" * 32: newer})
    tally.settle(newer)
    tally.settle(newer)
    assert (tally.held, tally.active) == (set(), {})
