"""Orders that are laid out for busy workers, and taken back."""

from __future__ import annotations

import selectors
import socket
import sys
import threading
from collections import deque

import pytest
from chores.twin import Twin

from qcore.engine.crew import Crew, Hand
from qcore.engine.link import Link, write_frame
from qcore.engine.messages import pack_run, unpack_order
from qcore.engine.pace import Pace
from qcore.engine.tray import Intake, Tray, make_pair
from qcore.engine.trays import Trays

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no packets on local sockets"
)


#: Seconds after which a task is long here.
LONG = 0.01


class Room:
    """Two workers, which are this test, and what waits for them."""

    def __init__(self, name):
        self.twin = Twin(f"trays {name}")
        self.selector = selectors.DefaultSelector()
        self.crew = Crew(self.selector)
        self.ready = deque()
        self.trays = Trays(self.crew, self.ready)
        self.intakes = {}
        self.ends = {}

    def hire(self, pid):
        ours, theirs = socket.socketpair()
        lay_end, take_end = make_pair()
        # as after a fork: the worker has a descriptor of its own
        own = take_end.dup()
        hand = Hand(pid, pid, Link(ours), Tray(lay_end, take_end))
        self.intakes[pid] = Intake(theirs, [own])
        self.ends[pid] = (theirs, own)
        self.crew.welcome(hand)
        self.crew.begin(hand)
        return hand

    def deal(self, hand, at=0.0):
        job = self.twin.claim()
        self.crew.idle.remove(hand)
        self.crew.order(hand, hand.order_for(job))
        hand.job, job.dealt = job, at
        return job

    def lay(self, hand):
        job = self.twin.claim()
        assert self.trays.lay(hand, job, hand.order_for(job))
        return job

    def taken(self, hand):
        """The package of the next order that a worker takes."""
        return unpack_order(self.intakes[hand.pid].take()).package

    def close(self):
        for hand in self.crew:
            self.crew.dismiss(hand)
        for ends in self.ends.values():
            for end in ends:
                end.close()
        self.selector.close()


@pytest.fixture
def room(request):
    made = Room(request.node.name)
    yield made
    made.close()


def test_a_worker_takes_its_orders_in_the_order_in_which_they_were_given(room):
    hand = room.hire(1)
    jobs = [room.deal(hand), room.lay(hand), room.lay(hand)]
    assert [room.taken(hand) for _ in jobs] == [job.delivery.package for job in jobs]
    assert room.crew.free(hand) is jobs[1]
    assert room.crew.free(hand) is jobs[2]
    assert room.crew.free(hand) is None
    assert list(room.crew.idle) == [hand]


def test_what_lies_behind_a_long_task_is_taken_back_before_all_else(room):
    hand = room.hire(1)
    long, behind, last = room.deal(hand), room.lay(hand), room.lay(hand)
    later = room.twin.claim()
    room.ready.append(later)
    room.taken(hand)
    room.trays.keep(0.005, LONG)
    assert len(room.trays) == 2, "it is not long yet"
    assert room.trays.next() == [pytest.approx(LONG)]
    room.trays.keep(0.01, LONG)
    assert list(room.ready) == [behind, last, later]
    assert hand.job is long
    assert len(room.trays) == 0
    assert room.trays.next() == []


def test_who_has_nothing_to_do_gets_what_others_have_not_begun(room):
    busy, idle = room.hire(1), room.hire(2)
    room.deal(busy)
    laid = room.lay(busy)
    room.trays.keep(0.001, LONG)
    assert list(room.ready) == [laid]
    assert list(room.crew.idle) == [idle]


def test_what_the_worker_has_taken_stays_with_it(room):
    hand = room.hire(1)
    room.deal(hand)
    second, third = room.lay(hand), room.lay(hand)
    room.taken(hand)
    room.taken(hand)  # it has ended the first one; its reply has not been read
    room.trays.recall(hand)
    assert list(room.ready) == [third]
    assert list(hand.laid) == [second]


def test_a_worker_that_stops_between_two_tasks_loses_the_second(room):
    """Its reply to the first was read, so it is thought to be at the second."""
    hand = room.hire(1)
    room.deal(hand)
    second, third = room.lay(hand), room.lay(hand)
    room.taken(hand)
    assert room.crew.free(hand) is second
    room.trays.keep(0.02, LONG)
    assert list(room.ready) == [second, third]
    assert hand.job is None
    assert list(room.crew.idle) == [hand]


class Interrupted:
    """A socket; when the first packet has been read from it, something comes between."""

    def __init__(self, sock, between):
        self.sock = sock
        self.between = [between]

    def recv(self, size):
        packet = self.sock.recv(size)
        while self.between:
            self.between.pop()()
        return packet

    def close(self):
        self.sock.close()


@pytest.mark.parametrize(
    "ended", [False, True], ids=["at the first", "thought further"]
)
def test_a_worker_may_take_one_between_two_that_are_taken_back(room, ended):
    """Its results would else be stored for the tasks of others."""
    begun = []
    room.trays.tell(lambda hand, job: begun.append(job))
    hand = room.hire(1)
    first = room.deal(hand)
    second, third, fourth = (room.lay(hand) for _ in range(3))
    room.taken(hand)
    if ended:  # its reply was read, so it is thought to be at the second
        assert room.crew.free(hand) is second
    got = []
    take = lambda: got.append(room.taken(hand))  # noqa: E731
    hand.tray._take_end = Interrupted(hand.tray._take_end, take)
    room.trays.recall(hand)
    assert got == [third.delivery.package]
    assert list(room.ready) == [second, fourth]
    doing = [hand.job, *hand.laid]
    assert doing == ([third] if ended else [first, third])
    assert begun == ([third] if ended else [])
    assert not room.crew.idle


def test_an_older_order_on_the_link_comes_before_one_that_was_seen_on_the_tray(room):
    """The worker sees a packet; before it reads, that is taken back and replaced."""
    hand = room.hire(1)
    intake = room.intakes[1]
    room.deal(hand)
    room.taken(hand)
    room.lay(hand)
    dealt = []

    class Late:
        """A tray that is read late."""

        def recv(self, size):
            if not dealt:
                room.trays.recall(hand)
                assert room.crew.free(hand) is None
                dealt.extend([room.deal(hand), room.lay(hand)])
            return tray.recv(size)

        def send(self, packet):
            tray.send(packet)

    tray, intake._tray = intake._tray, Late()
    assert room.taken(hand) == dealt[0].delivery.package
    room.trays.recall(hand)
    assert room.ready[0] is dealt[1], "it is not stranded behind the other"
    assert not hand.laid


def test_a_reply_says_which_order_it_is_of(room):
    """So a result cannot be stored for another task, whatever goes wrong."""
    hand = room.hire(1)
    jobs = [room.deal(hand), room.lay(hand), room.lay(hand)]
    orders = [unpack_order(room.intakes[1].take()) for _ in jobs]
    assert [order.number for order in orders] == [job.number for job in jobs]
    assert len({job.number for job in jobs}) == 3


def test_only_workers_with_place_are_offered_more(room):
    busy, full, ending, _idle = (room.hire(pid) for pid in (1, 2, 3, 4))
    for hand in (busy, full, ending):
        room.deal(hand)
    room.lay(full)
    ending.ending = True
    assert room.trays.open(1) == [busy]
    assert room.trays.open(2) == [busy, full]


def test_a_large_order_and_a_full_tray_are_refused():
    lay_end, take_end = make_pair()
    tray = Tray(lay_end, take_end)
    assert not tray.lay(bytes(40_000))
    laid = 0
    while tray.lay(pack_run(bytes(10_000), 1, laid + 1)):
        laid += 1
    assert len(tray.take_back()) == laid > 1
    tray.close()
    assert not tray.lay(b"closed")


def test_a_system_without_packets_has_no_trays(monkeypatch):
    def refuse(*_):
        raise OSError("protocol not supported")

    monkeypatch.setattr(socket, "socketpair", refuse)
    assert make_pair() == ()


def test_a_worker_is_woken_by_link_and_by_tray(room):
    hand = room.hire(1)
    for send in (
        lambda: hand.tray.lay(b"from the tray"),
        lambda: write_frame(hand.link.sock, b"from the link"),
    ):
        timer = threading.Timer(0.02, send)
        timer.start()
        assert room.intakes[1].take().startswith(b"from the")
        timer.join()
    hand.link.close()
    assert room.intakes[1].take() is None, "the dispatcher has gone"


def test_only_short_tasks_are_laid_out():
    pace = Pace(0.0)
    for moment in range(1, 50):
        pace.note(2, moment / 10)
    assert pace.depth(2) == 0, "20 a second"
    for moment in range(1, 50):
        pace.note(100, 5 + moment / 40)
    assert 0 < pace.depth(2) < pace.depth(1) <= 16


@pytest.mark.parametrize(
    ("rate", "depth", "long"),
    [(0, 0, 0.05), (38, 0, 0.05), (42, 1, 0.048), (100, 1, 0.02), (4000, 16, 0.01)],
)
def test_what_is_long_depends_on_how_long_tasks_take(rate, depth, long):
    """One that takes 10 ms is not long where all do, and the next one lies ready."""
    pace = Pace(0.0)
    for second in range(1, 60):
        pace.note(rate * 4, float(second))
    assert pace.depth(4) == depth
    assert pace.long(4) == pytest.approx(long, rel=0.01)


@pytest.mark.parametrize("word", [b"the last word", None])
def test_a_tray_that_is_closed_leaves_the_word_to_the_link(word):
    """A dispatcher that ends closes the one a moment before the other."""
    ours, theirs = socket.socketpair()
    lay_end, take_end = make_pair()
    tray = Tray(lay_end, take_end)
    intake = Intake(theirs, [take_end])
    tray.lay(b"an order")
    lay_end.close()
    assert intake.take() == b"an order"

    def speak():
        if word is not None:
            write_frame(ours, word)
        ours.close()

    later = threading.Timer(0.1, speak)
    later.start()
    assert intake.take() == word
    later.join()
    for end in (theirs, take_end):
        end.close()


def test_the_loop_rests_while_nobody_misses_it():
    pace = Pace(0.0)
    for moment in range(1, 50):
        pace.note(200, moment / 40)  # 8,000 a second: 2 workers have 4 in a millisecond
    assert pace.rest(9, 2) > 0
    assert pace.rest(3, 2) == 0, "they would run out of work"
    assert pace.rest(0, 2) == 0


def test_the_tray_that_has_the_fewest_counts(room):
    first, second = room.hire(1), room.hire(2)
    for hand in (first, second):
        room.deal(hand)
    room.lay(first)
    assert room.trays.fewest() == 0
    room.lay(second)
    room.lay(second)
    assert room.trays.fewest() == 1
