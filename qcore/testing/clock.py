"""A clock that a test sets: Python's own, for everything that reads it in this process.

It needs the package time-machine, which the extra ``qcore[testing]`` installs; without it
a test that asks for the clock is skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Sets a clock forth by some seconds or, below 0, back.
StepClock = Callable[[float], None]


@contextmanager
def stepped_clock() -> Iterator[StepClock]:
    """Give a function that sets the clock of this process forth or back; it goes on from there.

    ``time.time`` and ``datetime.now`` tell the time that was set, and tell the true time
    again at the end. The clocks of services and of other processes stay as they are::

        @pytest.fixture
        def step_clock(self):
            with stepped_clock() as step:
                yield step
    """
    import pytest

    reason = "time-machine is not installed. Run: pip install time-machine"
    time_machine = pytest.importorskip("time_machine", reason=reason)
    with time_machine.travel(time.time(), tick=True) as traveller:
        yield traveller.shift
