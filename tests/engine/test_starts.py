"""Workers that hang before their first word, on a clock of the test."""

from __future__ import annotations

import signal

import pytest

from qcore.engine.sentinel.children import Child
from qcore.engine.sentinel.starts import LONGEST, SLOW, Starts

BORN = 1000.0
DISPATCHER, HUNG, READY = 10, 11, 12


class Processes:
    """Children that note their signals, and are not there."""

    def __init__(self):
        self.signals = []
        self.children = [
            Child(DISPATCHER, 0, BORN), Child(HUNG, 1, BORN), Child(READY, 2, BORN, True),
        ]  # fmt: skip

    def __iter__(self):
        return iter(self.children)

    def signal(self, pid, number):
        self.signals.append((pid, number))
        for child in self.children:
            child.killed |= child.pid == pid and number == signal.SIGKILL


@pytest.fixture
def there():
    return Processes()


@pytest.mark.fault("A25")
def test_a_worker_that_is_slow_is_told_of_once_with_its_stacks(there, caplog):
    starts = Starts(there)
    starts.check(BORN + SLOW - 1)
    assert (there.signals, caplog.text) == ([], "")
    starts.check(BORN + SLOW)
    starts.check(BORN + LONGEST - 1)
    assert there.signals == [(HUNG, signal.SIGUSR1)]
    (record,) = caplog.records
    assert record.getMessage() == (
        "worker 11 has not come up in 30 s; its stacks follow. It is replaced after"
        " 300 s"
    )


@pytest.mark.fault("A25")
def test_a_worker_that_hangs_is_killed_once(there, caplog):
    starts = Starts(there)
    starts.check(BORN + LONGEST)
    starts.check(BORN + LONGEST + 1)
    assert there.signals == [(HUNG, signal.SIGKILL)]
    (record,) = caplog.records
    assert record.getMessage() == (
        "worker 11 has not come up in 300 s; it is killed and replaced"
    )


def test_a_worker_that_comes_up_late_is_let_be(there):
    starts = Starts(there)
    starts.check(BORN + SLOW)
    there.children[1].ready = True
    starts.check(BORN + LONGEST)
    assert there.signals == [(HUNG, signal.SIGUSR1)]


def test_another_worker_with_the_number_of_a_dead_one_is_told_of_too(there):
    starts = Starts(there)
    starts.check(BORN + SLOW)
    del there.children[1]
    starts.check(BORN + SLOW)
    there.children.append(Child(HUNG, 1, BORN + SLOW))
    starts.check(BORN + 2 * SLOW)
    assert there.signals == [(HUNG, signal.SIGUSR1)] * 2
