"""Orders that are laid out for busy workers, and taken back."""

from __future__ import annotations

import selectors
import socket
import sys
import threading

import pytest
from support.fake_services import FakeServices
from support.own_modules import give_own

from qcore.engine.dispatcher.pool import WorkerHandle, WorkerPool
from qcore.engine.dispatcher.prefetched import Prefetched
from qcore.engine.dispatcher.ready import ReadyQueue
from qcore.engine.dispatcher.throughput import Throughput
from qcore.engine.wire import prefetch as prefetch_module
from qcore.engine.wire.channel import Channel, write_frame
from qcore.engine.wire.messages import pack_run, unpack_order
from qcore.engine.wire.prefetch import OrderReader, PrefetchQueue, make_pair

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no packets on local sockets"
)


#: Seconds after which a task is long here.
LONG = 0.01


class Workers:
    """Two workers, which are this test, and what waits for them."""

    def __init__(self, name):
        self.fakes = FakeServices(f"prefetch {name}")
        self.selector = selectors.DefaultSelector()
        self.pool = WorkerPool(self.selector)
        self.ready = ReadyQueue()
        self.prefetched = Prefetched(self.pool, self.ready)
        self.intakes = {}
        self.ends = {}

    def hire(self, pid):
        ours, theirs = socket.socketpair()
        put_end, take_end = make_pair()
        # as after a fork: the worker has a descriptor of its own
        own = take_end.dup()
        worker = WorkerHandle(pid, pid, Channel(ours), PrefetchQueue(put_end, take_end))
        self.intakes[pid] = OrderReader(theirs, [own])
        self.ends[pid] = (theirs, own)
        self.pool.add(worker)
        self.pool.come_up(worker)
        return worker

    def assign(self, worker, at=0.0):
        job = self.fakes.waiting_job()
        self.pool.idle.remove(worker)
        self.pool.order(worker, worker.order_for(job))
        self.pool.begin(worker, job)
        job.assigned_at = at
        return job

    def put(self, worker):
        job = self.fakes.waiting_job()
        assert self.prefetched.put(worker, job, worker.order_for(job))
        return job

    def free(self, worker):
        """The job that a worker goes on with, when its reply has been read."""
        self.pool.free(worker)
        if worker.job is not None:
            worker.job.assigned_at = 0.0
        return worker.job

    def taken(self, worker):
        """The package of the next order that a worker takes."""
        return unpack_order(self.intakes[worker.pid].take()).package

    def close(self):
        for worker in self.pool:
            self.pool.remove(worker)
        for ends in self.ends.values():
            for end in ends:
                end.close()
        self.selector.close()
        self.ready.close()


@pytest.fixture
def workers(request):
    made = Workers(request.node.name)
    yield made
    made.close()


def test_a_worker_takes_its_orders_in_the_order_in_which_they_were_given(workers):
    worker = workers.hire(1)
    jobs = [workers.assign(worker), workers.put(worker), workers.put(worker)]
    assert [workers.taken(worker) for _ in jobs] == [
        job.delivery.package for job in jobs
    ]
    assert workers.free(worker) is jobs[1]
    assert workers.free(worker) is jobs[2]
    assert workers.free(worker) is None
    assert list(workers.pool.idle) == [worker]


def test_what_lies_behind_a_long_task_is_taken_back_before_all_else(workers):
    worker = workers.hire(1)
    long, behind, last = (
        workers.assign(worker),
        workers.put(worker),
        workers.put(worker),
    )
    later = workers.fakes.waiting_job()
    workers.ready.append(later)
    workers.taken(worker)
    workers.prefetched.keep(0.005, LONG)
    assert len(workers.prefetched) == 2, "it is not long yet"
    assert workers.prefetched.next() == [pytest.approx(LONG)]
    workers.prefetched.keep(0.01, LONG)
    assert list(workers.ready) == [behind, last, later]
    assert worker.job is long
    assert len(workers.prefetched) == 0
    assert workers.prefetched.next() == []


def test_who_has_nothing_to_do_gets_what_others_have_not_begun(workers):
    busy, idle = workers.hire(1), workers.hire(2)
    workers.assign(busy)
    ahead = workers.put(busy)
    workers.prefetched.keep(0.001, LONG)
    assert list(workers.ready) == [ahead]
    assert list(workers.pool.idle) == [idle]


def test_what_the_worker_has_taken_stays_with_it(workers):
    worker = workers.hire(1)
    workers.assign(worker)
    second, third = workers.put(worker), workers.put(worker)
    workers.taken(worker)
    workers.taken(worker)  # it has ended the first one; its reply has not been read
    workers.prefetched.recall(worker)
    assert list(workers.ready) == [third]
    assert list(worker.ahead) == [second]


def test_a_worker_that_stops_between_two_tasks_loses_the_second(workers):
    """Its reply to the first was read, so it is thought to be at the second."""
    worker = workers.hire(1)
    workers.assign(worker)
    second, third = workers.put(worker), workers.put(worker)
    workers.taken(worker)
    assert workers.free(worker) is second
    workers.prefetched.keep(0.02, LONG)
    assert list(workers.ready) == [second, third]
    assert worker.job is None
    assert list(workers.pool.idle) == [worker]


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
def test_a_worker_may_take_one_between_two_that_are_taken_back(workers, ended):
    """Its results would else be stored for the tasks of others."""
    worker = workers.hire(1)
    first = workers.assign(worker)
    second, third, fourth = (workers.put(worker) for _ in range(3))
    workers.taken(worker)
    if ended:  # its reply was read, so it is thought to be at the second
        assert workers.free(worker) is second
    got = []
    workers.pool.take_begun()
    take = lambda: got.append(workers.taken(worker))  # noqa: E731
    worker.prefetch._take_end = Interrupted(worker.prefetch._take_end, take)
    workers.prefetched.recall(worker)
    assert got == [third.delivery.package]
    assert list(workers.ready) == [second, fourth]
    doing = [worker.job, *worker.ahead]
    assert doing == ([third] if ended else [first, third])
    begun = [job for _, job in workers.pool.take_begun()]
    assert begun == ([third] if ended else [])
    assert not workers.pool.idle


def test_an_older_order_on_the_channel_comes_before_a_prefetched_one(
    workers,
):
    """The worker sees a packet; before it reads, that is taken back and replaced."""
    worker = workers.hire(1)
    intake = workers.intakes[1]
    workers.assign(worker)
    workers.taken(worker)
    workers.put(worker)
    jobs = []

    class Late:
        """A prefetch queue that is read late."""

        def recv(self, size):
            if not jobs:
                workers.prefetched.recall(worker)
                assert workers.free(worker) is None
                jobs.extend([workers.assign(worker), workers.put(worker)])
            return prefetch.recv(size)

        def send(self, packet):
            prefetch.send(packet)

    prefetch, intake._prefetch = intake._prefetch, Late()
    assert workers.taken(worker) == jobs[0].delivery.package
    workers.prefetched.recall(worker)
    assert next(iter(workers.ready)) is jobs[1], "it is not stranded behind the other"
    assert not worker.ahead


def test_a_reply_says_which_order_it_is_of(workers):
    """So a result cannot be stored for another task, whatever goes wrong."""
    worker = workers.hire(1)
    jobs = [workers.assign(worker), workers.put(worker), workers.put(worker)]
    orders = [unpack_order(workers.intakes[1].take()) for _ in jobs]
    assert [order.number for order in orders] == [job.number for job in jobs]
    assert len({job.number for job in jobs}) == 3


def test_only_workers_with_place_are_offered_more(workers):
    busy, full, ending, _idle = (workers.hire(pid) for pid in (1, 2, 3, 4))
    for worker in (busy, full, ending):
        workers.assign(worker)
    workers.put(full)
    ending.ending = True
    assert workers.prefetched.open(1) == [busy]
    assert workers.prefetched.open(2) == [busy, full]


def test_a_large_order_and_a_full_prefetch_queue_are_refused():
    put_end, take_end = make_pair()
    prefetch = PrefetchQueue(put_end, take_end)
    assert not prefetch.put(bytes(40_000))
    ahead = 0
    while prefetch.put(pack_run(bytes(10_000), 1, ahead + 1)):
        ahead += 1
    assert len(prefetch.take_back()) == ahead > 1
    prefetch.close()
    assert not prefetch.put(b"closed")


def test_a_system_without_packets_has_no_prefetch_queues(monkeypatch):
    def refuse(*_):
        raise OSError("protocol not supported")

    give_own(monkeypatch, prefetch_module, "socket", socketpair=refuse)
    assert make_pair() == ()


def test_a_worker_is_woken_by_channel_and_by_prefetch_queue(workers):
    worker = workers.hire(1)
    for send in (
        lambda: worker.prefetch.put(b"from the prefetch queue"),
        lambda: write_frame(worker.channel.sock, b"from the channel"),
    ):
        timer = threading.Timer(0.02, send)
        timer.start()
        assert workers.intakes[1].take().startswith(b"from the")
        timer.join()
    worker.channel.close()
    assert workers.intakes[1].take() is None, "the dispatcher has gone"


def test_only_short_tasks_are_laid_out():
    throughput = Throughput(0.0)
    for moment in range(1, 50):
        throughput.note(2, moment / 10)
    assert throughput.depth(2) == 0, "20 a second"
    for moment in range(1, 50):
        throughput.note(100, 5 + moment / 40)
    assert 0 < throughput.depth(2) < throughput.depth(1) <= 24


@pytest.mark.parametrize(
    ("rate", "depth", "long"),
    [(0, 0, 0.05), (38, 0, 0.05), (42, 1, 0.048), (100, 1, 0.02), (4000, 24, 0.01)],
)
def test_what_is_long_depends_on_how_long_tasks_take(rate, depth, long):
    """One that takes 10 ms is not long where all do, and the next one lies ready."""
    throughput = Throughput(0.0)
    for second in range(1, 60):
        throughput.note(rate * 4, float(second))
    assert throughput.depth(4) == depth
    assert throughput.long(4) == pytest.approx(long, rel=0.01)


@pytest.mark.parametrize("word", [b"the last word", None])
def test_a_prefetch_queue_that_is_closed_leaves_the_word_to_the_channel(word):
    """A dispatcher that ends closes the one a moment before the other."""
    ours, theirs = socket.socketpair()
    put_end, take_end = make_pair()
    prefetch = PrefetchQueue(put_end, take_end)
    intake = OrderReader(theirs, [take_end])
    prefetch.put(b"an order")
    put_end.close()
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
    throughput = Throughput(0.0)
    for moment in range(1, 50):
        # 8,000 a second: 2 workers have 6 each while the loop rests
        throughput.note(200, moment / 40)
    assert throughput.rest(13, 2) > 0
    assert throughput.rest(5, 2) == 0, "they would run out of work"
    assert throughput.rest(0, 2) == 0


def test_the_worker_with_the_fewest_prefetched_orders_counts(workers):
    first, second = workers.hire(1), workers.hire(2)
    for worker in (first, second):
        workers.assign(worker)
    workers.put(first)
    assert workers.prefetched.fewest() == 0
    workers.put(second)
    workers.put(second)
    assert workers.prefetched.fewest() == 1
