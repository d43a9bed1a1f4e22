"""Threads of the dispatcher that wait for a database that neither answers nor fails."""

from __future__ import annotations

import logging
import threading

import msgspec
import pytest
from support.fake_services import FakeServices, Receiver
from support.own_modules import give_own

from qcore.engine.dispatcher import cancelling, identity, outages, redelivered
from qcore.engine.dispatcher.identity import Identity
from qcore.engine.dispatcher.outages import Rest
from qcore.engine.dispatcher.steps import LOOKS, Steps
from qcore.errors import LedgerError


class Cuts:
    """Cuts so many connections as it is told, and counts how often."""

    def __init__(self, open=1):
        self.open = open
        self.made = 0

    def __call__(self):
        self.made += 1
        if isinstance(self.open, Exception):
            raise self.open
        return self.open


def looks(steps, count):
    for _ in range(count):
        steps.look()


@pytest.mark.fault("E20")
def test_a_thread_that_does_not_come_back_is_cut(caplog):
    steps, cut = Steps(), Cuts()
    steps.may_be_cut("recorder", cut)
    looks(steps, 10)
    assert cut.made == 0, "it does nothing"
    with steps.of("recorder"):
        looks(steps, LOOKS - 1)
        assert (cut.made, steps.was_cut("recorder")) == (0, False)
        looks(steps, 1)
        assert cut.made == 1
        assert steps.was_cut("recorder")
        assert not steps.was_cut("recorder"), "it is told once"
        looks(steps, LOOKS - 1)
        assert cut.made == 1
        looks(steps, 1)
        assert cut.made == 2, "what came after it in this step hangs, too"
    assert not steps.was_cut("recorder"), "the next step has nothing to do with it"
    assert "recorder: no answer of the database for" in caplog.text


def test_a_thread_that_comes_back_is_not_cut():
    steps, cut = Steps(), Cuts()
    steps.may_be_cut("pusher", cut)
    for _ in range(10):
        with steps.of("pusher"):
            looks(steps, LOOKS - 1)
    assert cut.made == 0


def test_other_threads_are_left_alone():
    """A plugin that sweeps may take its time: nothing else waits for it."""
    steps, cut = Steps(), Cuts()
    steps.may_be_cut("pusher", cut)
    with steps.of("sweeps flows"):
        looks(steps, 10)
    assert cut.made == 0


@pytest.mark.parametrize("open", [0, OSError("no descriptor")])
def test_what_could_not_be_cut_is_not_taken_for_cut(open, caplog):
    """A thread may wait for something else than a database."""
    caplog.set_level(logging.WARNING)
    steps = Steps()
    steps.may_be_cut("pusher", Cuts(open))
    with steps.of("pusher"):
        looks(steps, LOOKS)
        assert not steps.was_cut("pusher")
    assert "its connection is cut" not in caplog.text


def test_looking_ends_with_the_cluster():
    ended = threading.Event()
    ended.set()
    Steps().watch(ended, 60.0)


# -- a service that fails slowly is spared -----------------------------------------------
@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    for module in (cancelling, identity, outages, redelivered):
        give_own(monkeypatch, module, "time", monotonic=lambda: now[0])
    return now


def test_a_slow_failure_is_followed_by_a_rest_as_long(clock):
    rest = Rest()
    assert not rest.is_on()
    rest.failed(clock[0])
    assert not rest.is_on(), "a quick one costs its caller nothing"
    began = clock[0]
    clock[0] += 15
    rest.failed(began)
    assert rest.is_on()
    clock[0] += 14.9
    assert rest.is_on()
    clock[0] += 0.2
    assert not rest.is_on()
    began, clock[0] = clock[0], clock[0] + 10_000
    rest.failed(began)
    clock[0] += 60
    assert not rest.is_on()


class SlowLedger:
    """Fails after fifteen seconds, as a connection that cannot be opened."""

    is_ready = True

    def __init__(self, clock):
        self.clock = clock
        self.asked = 0

    def look_up(self, ids):
        self.asked += 1
        self.clock[0] += 15
        raise LedgerError("connection timeout expired")


@pytest.mark.fault("E20")
def test_plain_tasks_do_not_wait_for_each_question_to_a_ledger_that_hangs(
    clock, request
):
    fakes = FakeServices(request.node.name)
    ledger = SlowLedger(clock)
    services = msgspec.structs.replace(fakes.services, make_ledger=lambda: ledger)
    sorter = Identity(services, Receiver())
    marks = cancelling.Cancelling(services, fakes.shared, Receiver())
    job = fakes.ended()
    assert sorter.sift([job]) == ([job], [])
    assert ledger.asked == 1
    assert sorter.sift([job]) == ([job], []), "without an answer, as before"
    assert ledger.asked == 1
    assert marks.sift([job]) == [job]
    assert marks.sift([job]) == [job]
    assert ledger.asked == 2
    clock[0] += 16
    assert sorter.sift([job]) == ([job], [])
    assert ledger.asked == 3, "it may answer again"
