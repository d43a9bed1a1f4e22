"""The next link of a chain, which a worker makes: what is away ends no chain."""

from __future__ import annotations

import socket

import msgspec
import pytest
from support.fake_services import FakeServices
from support.own_modules import give_own

from qcore.engine.wire.messages import FOLLOW_UP, HOOK, Order
from qcore.engine.worker import process
from qcore.engine.worker.process import Worker
from qcore.envelope import Attempt, Outcome
from qcore.errors import BrokerUnavailable, EnqueueError, TaskStopped

DONE = Attempt(Outcome.SUCCESS, b"7", "json", 1.0, 2.0)


@pytest.fixture
def pauses(monkeypatch):
    slept: list[float] = []
    give_own(monkeypatch, process, "time", sleep=slept.append)
    monkeypatch.setattr(process, "next_link", lambda task, ended: task)
    return slept


@pytest.fixture
def make(request):
    """Return what makes the next link where ``prepare`` raises these errors, in order."""
    ours, theirs = socket.socketpair()
    fakes = FakeServices(request.node.name)

    def make(*errors):
        left = list(errors)

        def prepare(task, follows):
            assert follows == task.id
            if left:
                raise left.pop(0)
            return task

        msgspec.structs.force_setattr(fakes.services, "prepare", prepare)
        worker = Worker(fakes.services, ours, (), 1)
        return worker._next_package(fakes.task(links=1), DONE)

    yield make
    ours.close()
    theirs.close()


def test_what_is_away_for_a_moment_is_waited_for(make, pauses):
    assert make(BrokerUnavailable("away"), BrokerUnavailable("away")) is not None
    assert pauses == [0.5, 1.0]


def test_what_stays_away_has_the_task_done_once_more(make, pauses):
    """Each time after pauses: else it would be done again as fast as it runs."""
    with pytest.raises(TaskStopped, match="cannot be made now: away"):
        make(*[BrokerUnavailable("away")] * 9)
    assert sum(pauses) > 3


def test_what_is_refused_ends_the_chain(make, pauses, caplog):
    assert make(EnqueueError("no such argument")) is None
    assert "the chain ends after" in caplog.text
    assert pauses == []


@pytest.mark.parametrize(("kind", "makes"), [(FOLLOW_UP, True), (HOOK, False)])
def test_a_hook_whose_link_is_there_makes_no_other(request, kind, makes, monkeypatch):
    ours, theirs = socket.socketpair()
    fakes = FakeServices(request.node.name)
    called, prepared = [], []
    monkeypatch.setattr(process, "run_hook", called.append)
    msgspec.structs.force_setattr(
        fakes.services, "prepare", lambda task, follows: prepared.append(task) or task
    )
    monkeypatch.setattr(process, "next_link", lambda task, ended: task)
    worker = Worker(fakes.services, ours, (), 1)
    order = Order(kind, 1, 1, b"", DONE)
    task = fakes.task(links=1, hook="shop.done")
    made = worker._follow_up(task, order)
    assert ((made is not None), len(prepared)) == (makes, makes)
    (result,) = called
    assert result.final
    ours.close()
    theirs.close()
