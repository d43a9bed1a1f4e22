"""Timeouts in this process: they nest, and nobody takes them away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time

import pytest

from qcore.errors import TaskTimeout
from qcore.tasks import async_task, fetch
from qcore.tasks import timeouts as limits
from qcore.tasks.timeouts import soft_timeout
from qcore.tasks.timer import OwnTimer, SharedTimer, TimerOfProcess

#: Longer than any test waits: what is to end by a timeout says so.
LONG = 30

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have none")


@pytest.fixture(params=["own", "shared"])
def timer(request, monkeypatch):
    """Each kind of timer in turn."""
    if request.param == "own" and sys.platform != "linux":
        pytest.skip("other systems have none")
    kind = OwnTimer if request.param == "own" else SharedTimer
    monkeypatch.setattr("qcore.tasks.timer.make_timer", kind)
    monkeypatch.setattr(limits, "_timer", TimerOfProcess(limits._ring))
    return request.param


@pytest.fixture(autouse=True)
def clean():
    """Hold that nothing is left; the runner of these tests may have an alarm of its own."""
    handler = signal.getsignal(signal.SIGALRM)
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    after, _ = signal.setitimer(signal.ITIMER_REAL, left)
    assert limits._limits == []
    assert after == 0
    assert signal.getsignal(signal.SIGALRM) == handler


def wait_for_ever():
    time.sleep(LONG)
    raise AssertionError("nothing has ended it")


# -- one in another ----------------------------------------------------------------------
def test_the_outer_one_goes_on_after_the_inner(timer):
    with pytest.raises(TaskTimeout, match=r"timeout of 0\.3 s"), soft_timeout(0.3):
        with soft_timeout(LONG):
            pass
        wait_for_ever()


def test_the_outer_one_ends_the_inner(timer):
    told = pytest.raises(TaskTimeout, match=r"timeout of 0\.2 s")
    with told, soft_timeout(0.2), soft_timeout(LONG):
        wait_for_ever()


def test_the_inner_one_ends_and_the_outer_one_after_it(timer):
    with pytest.raises(TaskTimeout, match=r"timeout of 3 s"), soft_timeout(3):
        with pytest.raises(TaskTimeout, match=r"timeout of 0\.1 s"), soft_timeout(0.1):
            wait_for_ever()
        wait_for_ever()


def test_no_limit_inside_a_limit(timer):
    told = pytest.raises(TaskTimeout, match=r"timeout of 0\.1 s")
    with told, soft_timeout(0.1), soft_timeout(None):
        wait_for_ever()


def test_what_ends_in_time_leaves_nothing(timer):
    with soft_timeout(1.5), soft_timeout(1.6):
        pass
    time.sleep(1.8)


def test_it_rings_once(timer):
    with soft_timeout(0.1):
        try:
            wait_for_ever()
        except TaskTimeout:
            time.sleep(0.3)  # the cleanup has until the worker is killed


# -- who else uses a timer -----------------------------------------------------------------
@linux
@pytest.mark.parametrize(
    "library",
    [
        lambda: (signal.alarm(LONG), signal.alarm(0)),
        lambda: (
            signal.setitimer(signal.ITIMER_REAL, LONG),
            signal.setitimer(signal.ITIMER_REAL, 0),
        ),
        lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
        lambda: signal.signal(limits._timer._timer._number, signal.SIG_IGN),
    ],
    ids=["alarm", "setitimer", "handler", "our handler"],
)
@pytest.mark.fault("B29")
def test_a_library_that_uses_an_alarm_takes_none_away(library):
    before = signal.getsignal(signal.SIGALRM)
    try:
        with pytest.raises(TaskTimeout), soft_timeout(0.3):
            library()
            with soft_timeout(LONG):
                pass
            wait_for_ever()
    finally:
        signal.signal(signal.SIGALRM, before)


@linux
def test_the_alarm_of_a_library_rings_in_a_task():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        with soft_timeout(LONG):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            end = time.monotonic() + LONG
            while not rung and time.monotonic() < end:
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert rung


def test_the_alarm_of_the_caller_is_there_afterwards(timer):
    """A test runner, or a server that watches its requests, has set one."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, LONG)
        with soft_timeout(5), soft_timeout(3):
            pass
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert LONG / 2 < left <= LONG
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_system_without_such_a_timer_uses_the_shared_one(monkeypatch):
    class Refusing:
        def __init__(self, handler):
            raise OSError(11, "timer_create")

    monkeypatch.setattr("qcore.tasks.timer.OwnTimer", Refusing)
    monkeypatch.setattr(limits, "_timer", TimerOfProcess(limits._ring))
    with pytest.raises(TaskTimeout), soft_timeout(0.1):
        wait_for_ever()


# -- threads, processes, coroutines --------------------------------------------------------
def test_in_another_thread_it_does_nothing():
    done = []

    def work():
        with soft_timeout(0.01):
            time.sleep(0.1)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def test_a_fork_has_a_timer_of_its_own(timer):
    with soft_timeout(LONG):
        pid = os.fork()
        if pid == 0:
            try:
                with soft_timeout(0.1):
                    wait_for_ever()
            except TaskTimeout:
                os._exit(7)
            os._exit(8)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7


async def forever() -> None:
    await asyncio.sleep(LONG)


def sends_another() -> None:
    """Run another task in this one, and then for too long."""
    async_task("builtins.len", [1], sync=True, timeout=LONG)
    wait_for_ever()


@pytest.mark.django_db
@pytest.mark.usefixtures("qcore_inline")
def test_a_task_within_a_task_does_not_lift_its_timeout(timer):
    with pytest.raises(TaskTimeout, match=r"timeout of 0\.5 s"):
        async_task(sends_another, timeout=0.5, task_name="outer")
    assert fetch("outer").outcome == "timeout"


@pytest.mark.django_db
@pytest.mark.usefixtures("qcore_inline")
def test_a_coroutine_is_ended_by_the_outer_limit(timer):
    with soft_timeout(0.3), pytest.raises(TaskTimeout, match=r"timeout of 0\.3 s"):
        async_task(forever, timeout=LONG)
