"""The options of a task that say when it goes: ``priority``, ``run_after``, ``expires``."""

from __future__ import annotations

import datetime as dt

import pytest
from chores import kind
from django.utils import timezone

from qcore.brokers.memory import MemoryBroker
from qcore.runtime import current
from qcore.tasks import async_task, queue_size
from qcore.tasks.moments import expired
from qcore.testing.drain import enqueued

option = pytest.mark.option


@option("priority")
def test_the_higher_priority_goes_first(qcore_queue):
    for priority in (0, -100, 100):
        async_task(kind.add, 1, priority=priority)
    assert [task.priority for task in enqueued()] == [100, 0, -100]


@option("run_after")
def test_it_does_not_start_before_that(qcore_queue):
    async_task(kind.add, 1, run_after=timezone.now() + dt.timedelta(hours=1))
    assert queue_size() == 1
    assert MemoryBroker(current.conf).dequeue(1) == []


@option("expires")
def test_it_never_starts_after_that(qcore_queue):
    async_task(kind.add, 1, expires=timezone.now() - dt.timedelta(seconds=1))
    async_task(kind.add, 1, expires=60)
    assert [expired(task) is None for task in enqueued()] == [False, True]
