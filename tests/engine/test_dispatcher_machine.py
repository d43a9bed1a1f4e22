"""Dispatchers under any history: Hypothesis chooses, and the judge of faults looks.

Two dispatchers share a queue. Tasks are sent and run, fail, kill their workers or hang;
workers, dispatchers and time stand still; services fail; deliveries come twice and out
of order; clusters stop, or are lost. At every moment each task is in the queue or has
its final result, and in the end the judge finds no promise broken.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import ClassVar

import pytest
from faults.judge import Fault, Final, History, judge
from msgspec import UNSET
from support.stepped import Stepped
from support.stopped_clock import stop_time

from qcore.brokers.memory import MemoryBroker
from qcore.engine.dispatcher.lifecycle import EXITS, TRANSITIONS, JobState
from qcore.engine.dispatcher.throughput import Throughput
from qcore.engine.wire.messages import READY, RUN, Reply, pack_reply
from qcore.envelope import Options, Outcome
from qcore.errors import BrokerUnavailable, StoreError
from qcore.results.memory import MemoryStore
from qcore.testing.contracts.machine import run
from qcore.testing.contracts.stateful import Life, walk

#: Seconds; a tick is a round of the renewal, as in a cluster.
LEASE, TICK = 20.0, 5.0
CLUSTER = {
    "retry": LEASE, "renew": True, "timeout": 12.0, "grace": 1.0, "queue_limit": 2,
    "shutdown_grace": 6.0, "workers": 2,
}  # fmt: skip
TROUBLES = {
    "save": StoreError, "finished": StoreError, "dequeue": BrokerUnavailable,
    "acknowledge": BrokerUnavailable, "release": BrokerUnavailable,
    "extend": BrokerUnavailable, "enqueue": BrokerUnavailable,
}  # fmt: skip
#: Rounds in which everything has come to its end once no more harm is done.
ROUNDS = 400

#: What may come over a worker's channel that it has not said.
BABBLE = {
    "noise": b"\xc1 no message", "another order": pack_reply(Reply(None, 1, 1, order=99)),
    "the first word": pack_reply(READY),
}  # fmt: skip

PICKS, BOTH = range(8), (0, 1)
_queues = itertools.count(1)


class Killed(BaseException):
    """SIGKILL at this very place."""


class Clusters(Life):
    """Two dispatchers, and what is known of their tasks.

    Args:
        clock: see ``stop_time``.
    """

    STEPS: ClassVar = {
        "enqueue": {
            "count": (1, 2, 3), "attempts": (0, 0, 2), "ack": (False, True),
            "hook": (None, None, "a.hook"), "timeout": (UNSET, None),
        },
        "thread": {"number": BOTH, "what": ("push", "turn", "record")},
        "round": {"number": BOTH},
        "begin": {"pick": PICKS},
        "reply": {
            "pick": PICKS, "retires": (False, False, True),
            "outcome": (Outcome.SUCCESS, Outcome.FAILURE),
        },
        "tick": {},
        "crash_worker": {"pick": PICKS},
        "glimpse": {"pick": PICKS},
        "cut": {"pick": PICKS},
        "babble": {"pick": PICKS, "what": sorted(BABBLE)},
        "pause_or_resume_worker": {"pick": PICKS},
        "lose_dispatcher": {"number": BOTH},
        "freeze_or_thaw_dispatcher": {"number": BOTH},
        "stop": {"number": BOTH, "grace": (0.0, 6.0)},
        "sleep": {},
        "deliver_twice": {"pick": PICKS},
        "reorder": {"seed": PICKS},
        "trouble": {"number": BOTH, "what": sorted(TROUBLES)},
        "delete_package": {"pick": PICKS},
        "die_recording": {"number": BOTH, "what": ("save", "acknowledge", "release")},
    }  # fmt: skip
    WEIGHTS: ClassVar = {
        "enqueue": 4, "thread": 8, "round": 16, "begin": 8, "reply": 12, "tick": 6,
        "glimpse": 6, "crash_worker": 3, "pause_or_resume_worker": 2, "freeze_or_thaw_dispatcher": 2,
        "trouble": 3, "deliver_twice": 2, "die_recording": 3,
    }  # fmt: skip

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        MemoryStore.clear()
        self.queue = f"machine {next(_queues)}"
        self.notes, self.faults = [], []
        self.sent, self.packages = {}, {}
        self.deleted = set()
        self.doubled = set()  # packages
        self.frozen = {}  # number of a dispatcher -> since when
        self.dispatchers = [self.start(), self.start()]
        self.broker = self.dispatchers[0].fakes.broker
        self.sound = False

    def start(self):
        started = Stepped(self.queue, self.clock, self.notes.append, **CLUSTER)
        acknowledge = started.fakes.broker.acknowledge_many

        def watched(receipts):
            acknowledge(receipts)
            self.look_for_lost()

        started.fakes.broker.acknowledge_many = watched
        return started

    def fault(self, what, *, began=None, ended=None):
        now = self.clock.at
        self.faults.append(Fault(began or now, ended or now, what))

    def worker(self, pick):
        dispatcher = self.dispatchers[pick % 2]
        if dispatcher.workers:
            return dispatcher, dispatcher.workers[pick // 2 % len(dispatcher.workers)]
        return dispatcher, None

    # -- what is meant to happen ---------------------------------------------------------
    def enqueue(self, count, attempts, ack, hook, timeout):
        fakes = self.dispatchers[0].fakes
        for _ in range(count):
            options = Options(timeout=timeout, max_attempts=attempts, ack_failure=ack)
            task = fakes.task(options=options, hook=hook, created=self.clock.at)
            (id,) = MemoryBroker.enqueue_many(fakes.broker, [fakes.signer.sign(task)])
            self.sent[task.id], self.packages[task.id] = task, id

    def thread(self, number, what):
        """One thread of a dispatcher does one round."""
        if number not in self.frozen:
            {"push": Stepped.push, "turn": Stepped.turn, "record": self.record}[what](
                self.dispatchers[number]
            )

    def record(self, dispatcher):
        """Record; what is final then is not left in the queue."""
        notified = dispatcher.fakes.notified
        notified.clear()
        dispatcher.record()
        for _, given in notified:
            for result in given.get("results", ()):
                id = result.task.id
                if result.task.hook is None and self.is_final(id):
                    left = self.packages[id] in self.broker._q.packages
                    assert not left or dispatcher.stopping, f"{id} is final, and left"

    def round(self, number):
        """All of them do, and the workers take what there is."""
        if number not in self.frozen:
            self.go_round(self.dispatchers[number])

    def go_round(self, dispatcher):
        dispatcher.turn()
        dispatcher.push()
        dispatcher.turn()
        self.record(dispatcher)
        for worker in list(dispatcher.workers):
            dispatcher.begin(worker)

    def begin(self, pick):
        dispatcher, worker = self.worker(pick)
        if worker:
            dispatcher.begin(worker)

    def reply(self, pick, outcome, retires):
        dispatcher, worker = self.worker(pick)
        if worker:
            dispatcher.end(worker, outcome, retires=retires)

    def tick(self):
        """Time passes; loops look at what is due, and leases are renewed."""
        self.clock.advance(TICK)
        for number, dispatcher in enumerate(self.dispatchers):
            if number not in self.frozen:
                if dispatcher.fakes.failures.get("extend"):
                    self.fault("not renewed", ended=self.clock.at + LEASE)
                dispatcher.turn()  # it wakes for what is due
                dispatcher.keep()
                dispatcher.turn()

    # -- what is not ---------------------------------------------------------------------
    def crash_worker(self, pick):
        """What it ran can be claimed again at once, unless there are other reasons."""
        dispatcher, worker = self.worker(pick)
        if worker is None:
            return
        order = worker.current
        dispatcher.crash(worker)
        if order is None or order.kind != RUN or dispatcher.stopping or self.frozen:
            return
        task = dispatcher.task_of(order)
        if task.hook is not None:
            return  # that is called first
        job = dispatcher.shared.active.get(task.id)
        for _ in range(4):  # descriptors come one in a round, and deaths in between
            dispatcher.turn()
        self.record(dispatcher)
        if job is None or job.attempt != order.attempt or job.lost or job.killed:
            return
        queue, (id, attempt) = self.broker._q, job.receipt
        if queue.attempts.get(id) == attempt and not self.is_final(task.id):
            assert queue.visible[id] <= self.clock.at, "it waits for its lease"

    def glimpse(self, pick):
        """A worker reads its prefetch queue, and is interrupted before it looks at its channel."""
        dispatcher, worker = self.worker(pick)
        if worker:
            dispatcher.glimpse(worker)

    def cut(self, pick):
        """A task closes its worker's descriptors, and goes on."""
        dispatcher, worker = self.worker(pick)
        if worker:
            dispatcher.cut(worker)

    def babble(self, pick, what):
        """A task, or what it has left, writes on its worker's channel."""
        dispatcher, worker = self.worker(pick)
        if worker:
            dispatcher.babble(worker, BABBLE[what])

    def pause_or_resume_worker(self, pick):
        _, worker = self.worker(pick)
        if worker:
            worker.paused = not worker.paused

    def lose_dispatcher(self, number):
        self.fault("lost", began=self.frozen.pop(number, None))
        self.dispatchers[number].lose()
        self.dispatchers[number] = self.start()

    def die_recording(self, number, what):
        """A dispatcher is lost between two calls of its recorder."""
        dispatcher = self.dispatchers[number]
        failures = dispatcher.fakes.failures
        if number in self.frozen:
            return
        failures[what] = [Killed()]
        try:
            dispatcher.record()
        except Killed:
            self.lose_dispatcher(number)
        else:
            failures[what] = []

    def freeze_or_thaw_dispatcher(self, number):
        if number in self.frozen:
            self.fault("frozen", began=self.frozen.pop(number))
        else:
            self.frozen[number] = self.clock.at

    def stop(self, number, grace):
        if number not in self.frozen:
            self.dispatchers[number].stop(grace)

    def sleep(self):
        """The whole host sleeps for longer than a lease."""
        began = self.clock.at
        self.clock.advance(LEASE * 1.1)
        self.fault("sleep", began=began)

    def deliver_twice(self, pick):
        """The broker breaks its promise, and hands out what is claimed."""
        claimed = sorted(self.broker._q.claimed)
        if claimed:
            id = claimed[pick % len(claimed)]
            self.broker._q.show(id, self.clock.at)
            self.doubled.add(id)
            self.fault("twice", ended=self.clock.at + LEASE)

    def reorder(self, seed):
        queue = self.broker._q
        waiting = sorted(queue.visible.keys() - queue.claimed)
        moments = [queue.visible[id] for id in waiting]
        random.Random(seed).shuffle(moments)
        for id, at in zip(waiting, moments, strict=True):
            queue.show(id, at)

    def trouble(self, number, what):
        """A service refuses the next call."""
        failures = self.dispatchers[number].fakes.failures
        failures.setdefault(what, []).append(TROUBLES[what]("for a moment"))

    def delete_package(self, pick):
        """Somebody deletes a package, perhaps while its task runs."""
        left = sorted(self.packages.keys() - self.deleted)
        if left:
            id = left[pick % len(left)]
            if self.broker.delete(self.packages[id]):
                self.deleted.add(id)

    # -- what must be true ---------------------------------------------------------------
    def check(self):
        self.replace_stopped()
        self.look_for_lost()
        for dispatcher in self.dispatchers:
            self.look_at_places(dispatcher)

    def look_at_places(self, dispatcher):
        """Each job that is held stands in one place, and its state names this place."""
        ready = dispatcher.dispatcher._ready
        gone = [one.worker for one in dispatcher.loop._deaths._gone.values()]
        workers = [*dispatcher.loop.pool, *gone]
        places = {
            JobState.READY: [*ready._arrivals, *ready],
            JobState.PREFETCHED: [job for one in workers for job in one.ahead],
            JobState.RUNNING: [one.job for one in workers if one.job is not None],
        }
        for state, jobs in places.items():
            held = [job for job in dispatcher.shared.held if job.state is state]
            assert Counter(jobs) == Counter(held), f"{state}: {jobs} are not {held}"
        assert not [job for job in dispatcher.shared.held if job.state in EXITS]
        waiting = dispatcher.shared.count(JobState.READY, JobState.PREFETCHED)
        assert waiting == len(ready._arrivals) + len(ready) + len(
            dispatcher.loop._prefetched
        ) + sum(len(one.ahead) for one in gone)

    def look_for_lost(self):
        """Each task is in the queue, or has a result that may be its last."""
        for id, package in self.packages.items():
            if package not in self.broker._q.packages and id not in self.deleted:
                # the second run of what came twice may have ended in another way
                final = self.is_final(id) or package in self.doubled & self.stored()
                assert final, f"{id} is gone, and is not final"

    def replace_stopped(self):
        for number, dispatcher in enumerate(self.dispatchers):
            if number not in self.frozen and dispatcher.is_done:
                late = dispatcher.loop._shutdown.is_late(self.clock.at)
                assert late or not dispatcher.shared.held, "it holds something still"
                self.fault("stopped")
                dispatcher.lose()
                self.dispatchers[number] = self.start()

    def stored(self):
        """The packages of which there is a result."""
        return {self.packages[id] for id in MemoryStore._rows}

    def is_final(self, id):
        row = MemoryStore._rows.get(id)
        if row is None:
            return False
        options = self.sent[id].options
        may_end = options.ack_failure and row.outcome != Outcome.CRASH
        enough = options.max_attempts and row.attempt_count >= options.max_attempts
        # it ran alone, and its cluster was lost: that convicts it
        given_up = "The task is given up after" in row.value
        return bool(row.success or may_end or enough or row.crashes >= 3 or given_up)

    def end(self):
        self.rest()
        self.judge()

    def close(self):
        for dispatcher in self.dispatchers:
            dispatcher.lose()

    def rest(self):
        """Let everything come to its end, with no more harm."""
        for number in sorted(self.frozen):
            self.freeze_or_thaw_dispatcher(number)
        for _ in range(ROUNDS):
            if not self.broker._q.packages and not self.is_busy():
                return
            for dispatcher in self.dispatchers:
                dispatcher.fakes.failures.clear()
                for worker in list(dispatcher.workers):
                    worker.paused = False
                    dispatcher.begin(worker)
                    dispatcher.end(worker, Outcome.SUCCESS)
                self.go_round(dispatcher)
            self.replace_stopped()
            self.tick()
        raise AssertionError(f"not at rest: {self.broker._q.packages.keys()}")

    def is_busy(self):
        return any(
            dispatcher.shared.held
            or any(worker.current for worker in dispatcher.workers)
            for dispatcher in self.dispatchers
        )

    def judge(self):
        rows = MemoryStore._rows.values()
        finals = [
            Final(
                row.id, row.success, row.attempt_count, row.crashes,
                int(row.value) if row.success else None,
            )
            for row in rows
        ]  # fmt: skip
        missing = self.deleted - {final.id for final in finals}
        history = History(
            sent={id: id for id in self.sent if id not in missing},
            notes=[note for note in self.notes if note.key not in missing],
            finals=finals,
            faults=self.faults,
            waiting=self.broker.queue_size(),
            claimed=self.broker.lock_size(),
        )
        assert list(judge(history)) == []
        for dispatcher in self.dispatchers:
            assert (dispatcher.shared.held, dispatcher.shared.active) == (set(), {})
            assert dispatcher.dispatcher._capacity._arriving == 0


@pytest.fixture
def begin(monkeypatch):
    """Begin a life, in a time of its own."""
    clock = stop_time(monkeypatch)
    return lambda: Clusters(clock)


@pytest.mark.fault("D8")
def test_no_history_breaks_a_promise(begin):
    run(begin, Clusters, examples=30, steps=60)


@pytest.mark.fault("D8")
@pytest.mark.parametrize("seed", range(40))
def test_no_long_walk_breaks_a_promise(begin, monkeypatch, seed):
    if seed % 2:  # as where tasks are fast: several orders lie ahead for each worker
        monkeypatch.setattr(Throughput, "depth", lambda self, workers: 8)
    walk(begin(), seed, steps=250)


#: Transitions that need more than chance; each has a history in ``test_lifecycle.py``, or in
#: ``test_expiry.py``.
RARE = {
    (JobState.CLAIMED, JobState.ENDED),
    (JobState.CLAIMED, JobState.LEFT),
    (JobState.CLAIMED, JobState.STORED),
    (JobState.READY, JobState.ENDED),
    (JobState.READY, JobState.LEFT),
    (JobState.RUNNING, JobState.LEFT),
    (JobState.ENDED, JobState.LEFT),
}


def test_every_transition_of_the_table_happens(begin, transitions):
    """The fixture sees to it that no other one does."""
    declared = {(one.source, one.target) for one in TRANSITIONS} - RARE
    for seed in itertools.count(1000):
        if declared <= transitions.seen.keys():
            return
        missing = declared - transitions.seen.keys()
        assert seed < 1200, f"{sorted(missing)} are never seen"
        walk(begin(), seed, steps=250)
