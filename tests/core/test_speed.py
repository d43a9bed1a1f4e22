"""The kit does not take a slow machine for a broken part, nor the other way round."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from support.own_modules import give_own

from qcore.errors import NoReply
from qcore.testing import speed
from qcore.testing.speed import (
    Patience,
    TooLate,
    begun_again_when_late,
    must_precede,
    quickest,
)


def set_clock(monkeypatch: pytest.MonkeyPatch, monotonic: Callable[[], float]) -> None:
    """Give the module ``speed`` a clock of its own: other threads read the real one."""
    monkeypatch.setattr(speed, "time", SimpleNamespace(monotonic=monotonic))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """A clock that moves when it is told, and a machine that is as slow as it is told."""

    class Clock:
        now = 100.0
        slowness = 1.0

    set_clock(monkeypatch, lambda: Clock.now)
    monkeypatch.setattr(speed, "slowness", lambda: Clock.slowness)
    return Clock


def test_patience_on_a_calm_machine_is_what_was_asked_for(clock):
    patience = Patience(5)
    clock.now += 4.9
    assert not patience.is_over()
    clock.now += 0.2
    assert patience.is_over()


def test_patience_on_a_slow_machine_is_longer(clock):
    patience, clock.slowness = Patience(5), 3.0
    clock.now += 14.9
    assert not patience.is_over()
    clock.slowness = 1.0  # it was slow, and so it had less than five seconds of work
    assert not patience.is_over()
    clock.now += 0.2
    assert patience.is_over()


def test_a_machine_that_stands_still_between_two_looks_costs_no_patience(clock):
    patience = Patience(5)
    assert not patience.is_over()
    clock.now += 60
    assert not patience.is_over(), "whoever is waited for has stood still, too"
    for _ in range(4):
        clock.now += 0.9
        assert not patience.is_over()
    clock.now += 0.9
    assert patience.is_over()


def test_a_call_that_takes_long_costs_patience(clock):
    """It is asked once, and that is what is measured."""
    patience = Patience(5)
    clock.now += 60
    assert patience.is_over()


def test_what_comes_in_time_costs_no_measurement(clock, monkeypatch):
    monkeypatch.setattr(speed, "slowness", lambda: pytest.fail("measured"))
    patience = Patience(5)
    clock.now += 4.9
    assert not patience.is_over()


def test_other_work_makes_a_machine_slow(monkeypatch):
    give_own(monkeypatch, speed, "os", getloadavg=lambda: (6.0, 0.0, 0.0))
    monkeypatch.setattr(speed, "_processors", lambda: 2)
    assert speed.slowness() >= 3.0
    give_own(monkeypatch, speed, "os", getloadavg=lambda: (1e6, 0.0, 0.0))
    assert speed.slowness() == speed.MOST


def test_a_slow_processor_makes_a_machine_slow(monkeypatch):
    ticks = itertools.count(0, 10 * speed._CALM)  # ten times as long as it should
    set_clock(monkeypatch, lambda: next(ticks))
    give_own(monkeypatch, speed, "os", getloadavg=lambda: (0.0, 0.0, 0.0))
    assert speed.slowness() == pytest.approx(10)


class Case:
    stretch = 1.0

    def __init__(self) -> None:
        self.seen: list[float] = []

    @begun_again_when_late
    def test_late_twice(self):
        self.seen.append(self.stretch)
        if self.stretch < 4:
            raise TooLate("the test was late")

    @begun_again_when_late
    def test_always_late(self):
        must_precede(time.monotonic() - 1)

    @begun_again_when_late
    def test_silence_once(self):
        self.seen.append(self.stretch)
        if len(self.seen) == 1:
            raise NoReply("timed out")

    @begun_again_when_late
    def test_broken(self):
        self.seen.append(self.stretch)
        raise AssertionError("a broken promise")


def test_a_late_test_begins_again_with_longer_times():
    case = Case()
    case.test_late_twice()
    assert case.seen == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("slowness", [1.0, 6.0])
def test_a_silent_service_is_late_only_where_the_machine_is_busy(clock, slowness):
    case, clock.slowness = Case(), slowness
    if slowness == 1:
        with pytest.raises(NoReply):
            case.test_silence_once()
        assert case.seen == [1.0]
    else:
        case.test_silence_once()
        assert case.seen == [1.0, 2.0]


def test_a_failure_is_never_tried_again():
    case = Case()
    with pytest.raises(AssertionError, match="a broken promise"):
        case.test_broken()
    assert case.seen == [1.0]


def test_a_test_that_is_always_late_fails_and_says_so():
    with pytest.raises(AssertionError, match="later than its lease, 6 times"):
        Case().test_always_late()


def test_the_quickest_of_some_calls_counts(clock):
    spent = iter([9.0, 4.0, 1.0, 99.0])

    def call() -> None:
        clock.now += next(spent)

    assert quickest(call, 2.0) == pytest.approx(1.0)
    assert next(spent) == 99.0, "once it was in time it is not called again"


def test_who_always_waits_is_never_quick(clock):
    def call() -> None:
        clock.now += 3.0

    assert quickest(call, 2.0) == pytest.approx(3.0)
