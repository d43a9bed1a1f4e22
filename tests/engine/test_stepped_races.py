"""Races between a worker and the loop, step by step; and tasks that break their worker."""

from __future__ import annotations

import itertools
import sys
from collections import Counter

import pytest
from faults.judge import BEGAN, CRASHED
from support.stepped import Stepped
from support.stopped_clock import stop_time

from qcore.engine.dispatcher.throughput import Throughput
from qcore.engine.wire.messages import READY, Reply, pack_reply
from qcore.envelope import Outcome
from qcore.results.memory import MemoryStore

GRACE, TIMEOUT, LEASE = 1.0, 12.0, 60.0
#: Seconds in which a task turns out to be long, and a prefetch queue is looked at twice.
LONG = 0.2
_queues = itertools.count(1)

needs_prefetch = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no packets on local sockets"
)


class Life:
    """One dispatcher, and what its tasks note."""

    def __init__(self, clock, **settings):
        MemoryStore.clear()
        self.clock = clock
        self.notes = []
        given = {
            "retry": LEASE, "renew": True, "timeout": TIMEOUT, "grace": GRACE,
            "workers": 1, "queue_limit": 4, **settings,
        }  # fmt: skip
        self.it = Stepped(f"race {next(_queues)}", clock, self.notes.append, **given)
        self.it.turn()

    @property
    def worker(self):
        return self.it.workers[0]

    def send(self, count):
        return [self.it.fakes.send().id for _ in range(count)]

    def round(self):
        """Hear what is said, claim, assign, record."""
        self.it.turn()
        self.it.push()
        self.it.turn()
        self.it.record()

    def pass_time(self, seconds):
        """Time passes and leases are renewed; the loop wakes for what is due."""
        while seconds > 0:
            step = min(seconds, LEASE / 8)
            self.clock.advance(step)
            seconds -= step
            self.it.keep()
            self.it.turn()
        self.round()

    def begun(self):
        return Counter(note.key for note in self.notes if note.event == BEGAN)

    def finish(self):
        """Let everything end well."""
        for _ in range(40):
            self.round()
            for worker in list(self.it.workers):
                self.it.begin(worker)
                self.it.end(worker, Outcome.SUCCESS)
            self.clock.advance(LONG)
        assert (self.it.shared.held, self.it.shared.active) == (set(), {})


@pytest.fixture
def begin(monkeypatch):
    clock = stop_time(monkeypatch)
    lives = []

    def start(**settings):
        lives.append(Life(clock, **settings))
        return lives[-1]

    yield start
    for life in lives:
        life.it.lose()


def strand(life):
    """Have a worker read its prefetch queue late: it gets what lies there behind its next order.

    Returns the ids of that order, and of what it has read too early.
    """
    first, second, third = life.send(3)
    life.round()  # the first is assigned, the others are laid ahead
    life.it.begin(life.worker)
    life.it.end(life.worker, Outcome.SUCCESS)
    life.it.turn()  # it is thought to be at the second
    life.clock.advance(LONG)
    life.it.turn()  # taken back, sent on the channel, and the third laid ahead once more
    life.it.glimpse(life.worker)
    assert life.worker.seen is not None
    assert life.begun() == {first: 1}
    return second, third


@needs_prefetch
@pytest.mark.fault("B27")
def test_the_timeout_holds_for_a_task_whose_worker_has_read_too_far(begin):
    life = begin()
    hung, behind = strand(life)
    life.it.begin(life.worker)
    worker = life.worker
    assert life.begun()[hung] == 1
    life.pass_time(TIMEOUT + GRACE)
    assert worker not in life.it.workers, "killed"
    life.finish()
    assert MemoryStore._rows[hung].outcome == Outcome.TIMEOUT
    assert MemoryStore._rows[behind].success
    assert life.begun()[behind] == 1


@needs_prefetch
@pytest.mark.fault("B27")
def test_the_timeout_holds_where_the_worker_stands_still_between_two_reads(begin):
    life = begin()
    hung, behind = strand(life)
    stopped = life.worker
    stopped.paused = True
    life.pass_time(TIMEOUT + GRACE)
    assert stopped not in life.it.workers, "killed, by this or that watch"
    life.finish()
    assert MemoryStore._rows[behind].success
    assert MemoryStore._rows[hung].attempt_count == 1
    assert life.begun()[behind] == 1


@needs_prefetch
@pytest.mark.fault("B27")
@pytest.mark.parametrize("looks", [1, 2], ids=["once", "and looked in between"])
def test_what_was_read_too_early_is_not_stranded_behind_a_long_task(begin, looks):
    life = begin(timeout=None)
    long, behind = strand(life)
    for _ in range(looks - 1):
        life.clock.advance(LONG)
        life.it.turn()  # the worker has it in its hands
    life.it.begin(life.worker)
    assert life.begun()[long] == 1
    life.it.hire(1)
    for _ in range(3):
        life.pass_time(LONG)
    life.it.begin(life.it.workers[1])
    assert life.begun() == {**life.begun(), long: 1, behind: 1}


@needs_prefetch
@pytest.mark.fault("B27")
def test_the_loop_does_not_spin_while_an_order_is_missing(begin):
    life = begin(timeout=None)
    strand(life)
    life.worker.paused = True
    life.clock.advance(LONG)
    life.it.turn()
    assert life.it.loop._time_left() > 0.01


@needs_prefetch
@pytest.mark.fault("B27")
def test_a_worker_that_dies_having_read_too_far_loses_nothing(begin):
    """Its channel is closed and its prefetch queue with it: the loop does not touch that again."""
    life = begin()
    killed, behind = strand(life)
    life.it.begin(life.worker)
    life.it.crash(life.worker)
    life.finish()
    rows = MemoryStore._rows
    assert (rows[killed].attempt_count, rows[behind].attempt_count) == (2, 1)
    assert life.begun()[behind] == 1


@pytest.mark.fault("B26")
def test_a_task_that_closes_its_channel_runs_nowhere_else_until_its_worker_is_dead(
    begin,
):
    life = begin(timeout=None, workers=2, max_crashes=2)
    (id,) = life.send(1)
    life.round()
    for worker in life.it.workers:
        life.it.begin(worker)
    (broken,) = [w for w in life.it.workers if w.current is not None]
    life.it.cut(broken)
    kills = []
    life.it._obey = kills.append  # the process takes its time to die
    life.pass_time(LEASE)
    assert {kill.pid for kill in kills} == {broken.pid}
    assert len(kills) > 1, "until it is dead"
    assert life.begun() == {id: 1}
    del life.it._obey
    life.pass_time(10)
    assert broken not in life.it.workers
    life.finish()
    assert life.begun() == {id: 2}
    assert [note.event for note in life.notes].count(CRASHED) == 1


@pytest.mark.fault("B26")
def test_the_timeout_of_a_task_that_closed_its_channel_is_that_of_any_task(begin):
    life = begin(timeout=0.1, grace=0.1, ack_failures=True)
    (id,) = life.send(1)
    life.round()
    life.it.begin(life.worker)
    life.it.cut(life.worker)
    life.pass_time(0.2)
    life.pass_time(0.2)
    assert MemoryStore._rows[id].outcome == Outcome.TIMEOUT


@pytest.mark.fault("B28")
@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize(
    "frame",
    [b"\xc1 no message", pack_reply(Reply(None, 1, 1, order=99)), pack_reply(READY)],
    ids=["noise", "another order", "the first word again"],
)
def test_who_writes_on_a_channel_costs_one_worker_and_its_task(begin, frame, busy):
    life = begin(workers=2)
    suspect, other = life.it.workers
    ids = life.send(2)
    life.round()
    for worker in (suspect, other):
        life.it.begin(worker)
    if not busy:
        life.it.end(suspect, Outcome.SUCCESS)
        life.round()
    life.it.babble(suspect, frame)
    life.round()
    assert suspect not in life.it.workers
    assert other in life.it.workers
    life.finish()
    assert all(MemoryStore._rows[id].success for id in ids)
    assert sorted(life.begun().values()) == ([1, 2] if busy else [1, 1])


@needs_prefetch
@pytest.mark.fault("B27")
def test_what_lies_behind_an_order_that_was_given_back_waits_for_it(begin, monkeypatch):
    """A worker does its orders in the sequence in which they were given to it.

    Its answers are matched with the loop's list of what lies ahead. A worker that did the
    next order and left out the one that it had given back would be taken for broken.
    """
    monkeypatch.setattr(Throughput, "depth", lambda self, workers: 8)
    life = begin(queue_limit=16)
    ids = life.send(6)
    life.round()
    life.it.begin(life.worker)
    life.it.end(life.worker, Outcome.SUCCESS)
    life.it.turn()
    life.clock.advance(LONG)
    life.it.turn()  # taken back, sent on the channel, and the others laid ahead once more
    life.it.glimpse(life.worker)
    assert life.worker.seen is not None
    worker = life.worker
    life.finish()
    assert life.it.workers == [worker], "nobody was killed"
    assert life.begun() == dict.fromkeys(ids, 1)
