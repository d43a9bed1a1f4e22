"""Ends, stops, kills and time in any order: no limit is exceeded, no task is forgotten."""

from __future__ import annotations

import random
from typing import ClassVar

import pytest
from django.db import transaction
from support.limited import add, later, numbers

from qcore import Claim
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.tasks import cancel
from qcore_limits import qcore_sweep
from qcore_limits.holding import EVERY, renew
from qcore_limits.models import WaitingTask
from qcore_limits.places import KEPT, TERM

pytestmark = pytest.mark.usefixtures("queue")


class Walk:
    """Ends, stops, kills, cancelled tasks and time, in any order; a check after each claim."""

    places: ClassVar = {"one": 1, "two:1": 2, "two:2": 2, "other": 1}

    def __init__(self, cluster, pass_time, seed):
        self.cluster, self.pass_time = cluster, pass_time
        self.chance = random.Random(seed)
        self.limits = {}  # the limits of each task, by its id
        self.ended = set()

    def any_running(self):
        return self.chance.choice(sorted(self.cluster.running) or [None])

    def send(self):
        names = self.chance.choice(
            [["one"], ["two"], ["one", "other"], ["two", "other"]]
        )
        left = self.chance.choice([1, 2])
        labels = [f"two:{left}" if name == "two" else name for name in names]
        self.limits[add(left, limits=names)] = labels

    def claim(self):
        self.cluster.claim(self.chance.choice([1, 3, 100]))
        for id, task in self.cluster.dropped.items():
            self.cluster.running[id] = task, 0
            self.end(id)
        self.cluster.dropped.clear()
        for name, places in self.places.items():
            running = [id for id in self.cluster.running if name in self.limits[id]]
            assert len(running) <= places, name

    def end(self, id=None):
        if (id := id or self.any_running()) is not None:
            self.ended.add(id)
            self.cluster.end(id)

    def stop(self):
        if (id := self.any_running()) is not None:
            task, _ = self.cluster.running[id]
            unstarted = self.chance.random() < 0.5
            self.cluster.end(id, outcome="stopped", final=False, unstarted=unstarted)
            current.broker().enqueue(current.signer.sign(task))

    def kill(self):
        """The cluster of a task dies; its package comes again when the lease has ended."""
        if (id := self.any_running()) is not None:
            task, _ = self.cluster.running.pop(id)
            current.broker().enqueue(current.signer.sign(task))

    def cancel(self):
        waits = sorted(set(self.limits) - self.ended - set(self.cluster.running))
        if waits:
            cancel([self.chance.choice(waits)])

    def wait(self):
        self.pass_time(EVERY)
        running = self.cluster.running.values()
        claims = [Claim(task, 1, 0.0, start) for task, start in running]
        with transaction.atomic():
            assert renew(claims, current.ledger.now()) == []
        qcore_sweep(current.ledger.now())

    def go(self, steps):
        kinds = [self.send, self.claim, self.end]
        kinds += [*kinds, self.stop, self.kill, self.cancel, self.wait]
        for _ in range(steps):
            self.chance.choice(kinds)()

    def come_to_rest(self):
        for _ in range(200):
            if set(self.limits) <= self.ended:
                break
            self.claim()
            for id in list(self.cluster.running):
                self.end(id)
            self.wait()
        # what a cluster held that has died, of a task that ended without another run
        self.pass_time(TERM + KEPT + 1)
        self.wait()


@pytest.mark.parametrize("seed", range(4))
def test_in_any_order_no_limit_is_exceeded_and_no_task_is_forgotten(
    cluster, monkeypatch, seed
):
    walk = Walk(cluster, lambda seconds: later(seconds, monkeypatch), seed)
    walk.go(60)
    numbers()
    walk.come_to_rest()
    assert walk.ended == set(walk.limits)
    assert set(numbers().values()) == {(0, 0, 0, 0)}
    assert not WaitingTask.objects.exists()
    assert not OutboxRow.objects.exists()
