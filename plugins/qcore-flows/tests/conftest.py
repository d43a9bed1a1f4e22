"""What the tests of flows have in common: a queue outside of the database, and its tasks."""

from __future__ import annotations

import pytest
from chores import durable
from django.db import transaction
from django.test import override_settings

from qcore import RUN, Settled
from qcore.envelope import Attempt
from qcore.ledger.clock import Clock
from qcore.ledger.features import tell
from qcore.runtime import current
from qcore.testing.drain import enqueued
from qcore.testing.fixtures import qcore_clock, qcore_queue
from qcore.testing.needs import admitted
from qcore_flows.models import Run

__all__ = ["qcore_clock", "qcore_queue"]

OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}


class Queue:
    """The tasks in the queue, and what a cluster does with them, one step at a time."""

    def tasks(self):
        return enqueued()

    def funcs(self):
        """Return the names of the functions that wait, in their order."""
        return [task.func.rpartition(".")[2] for task in enqueued()]

    def task(self, task_id):
        (found,) = [one for one in enqueued() if one.id == task_id]
        return found

    def claim(self, task_id):
        """Return what plugins say of a claimed task."""
        return admitted(self.task(task_id), 1).answer

    def end(self, *task_ids, outcome="success", final=True, value=None):
        """Let tasks end together, as the recorder of a cluster does."""
        settled = []
        for id in task_ids:
            task = self.task(id)
            encoded = current.signer and _encoded(value)
            attempt = Attempt(outcome, encoded, "json", 1.0, 2.0)
            settled.append(
                Settled(
                    task=task,
                    outcome=outcome,
                    final=final,
                    again=None if final else 60.0,
                    result=attempt.result(task, 1, final=final),
                )
            )
        self.settle(*settled)

    def settle(self, *settled):
        with transaction.atomic():
            tell(current.registry.features, list(settled))

    def may_run(self, task_id):
        return self.claim(task_id) is RUN


def _encoded(value):
    from qcore.serializers import get_serializer

    return get_serializer("json").dumps(value)


@pytest.fixture
def queue(transactional_db, monkeypatch):
    monkeypatch.setattr(Clock, "offset", 0.0)
    with override_settings(Q_CLUSTER=OUTSIDE):
        current.broker().purge_queue()
        yield Queue()
        current.broker().purge_queue()


@pytest.fixture
def ran():
    """What durable tasks of this test have done, in their order."""
    durable.RAN.clear()
    return durable.RAN


@pytest.fixture
def clock(qcore_queue, qcore_clock, ran):
    """The time of durable tasks: who lets it pass runs what is due."""
    return qcore_clock


@pytest.fixture
def failed(clock, ran, monkeypatch):
    """A run of three steps whose last one has failed for good; it would succeed now."""

    def fails(what, value=None):
        ran.append(what)
        if what == 2:
            raise ConnectionError("away")
        return value

    with monkeypatch.context() as patch:
        patch.setattr(durable, "ran", fails)
        id = durable.in_steps.using(max_attempts=1).enqueue(3)
        clock.advance(seconds=0, raises=False)
    assert Run.objects.get(pk=id).state == "failure"
    ran.clear()
    return id
