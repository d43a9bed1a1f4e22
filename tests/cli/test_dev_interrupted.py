"""``qcore dev`` at Ctrl-C: the process that watches has time to stop its cluster."""

from __future__ import annotations

import os
import signal

import pytest
from support.own_modules import give_own

from qcore.cli import dev


@pytest.fixture(autouse=True)
def _handler_of_before():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def slept(monkeypatch):
    """What was slept, in seconds; the clock goes on by that."""
    times = []
    give_own(monkeypatch, dev, "time", sleep=times.append, monotonic=lambda: sum(times))
    return times


def answers(monkeypatch, *found):
    left = list(found)

    def waitid(kind, id, flags):
        assert flags & os.WNOWAIT  # whoever waits for the process must still find it
        answer = left.pop(0) if left else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    give_own(monkeypatch, dev, "os", waitid=waitid)


def test_it_ends_when_the_other_process_has_ended(monkeypatch, slept):
    answers(monkeypatch, None, None, object())
    with pytest.raises(KeyboardInterrupt):
        dev._let_it_end(9.0)
    assert slept == [dev._LOOK] * 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_waits_no_longer_than_it_may(monkeypatch, slept):
    answers(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        dev._let_it_end(1.0)
    assert 1.0 <= sum(slept) <= 1.0 + dev._LOOK


def test_it_waits_for_nobody_where_nobody_is(monkeypatch, slept):
    answers(monkeypatch, ChildProcessError())
    with pytest.raises(KeyboardInterrupt):
        dev._let_it_end(9.0)
    assert slept == []
