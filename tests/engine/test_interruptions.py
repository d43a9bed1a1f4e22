"""Signals that ask a task to end, at every place of the worker where they can arrive."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from support.fake_services import FakeServices

from qcore.engine.wire.messages import FOLLOW_UP, RUN, Order
from qcore.engine.worker import process
from qcore.engine.worker.process import Worker
from qcore.envelope import Attempt, Outcome
from qcore.runtime import current
from qcore.tasks import execute, follow_up, timeouts

FUNC = "operator.add"
DONE = Attempt(Outcome.SUCCESS, b"3", "json", 1.0, 2.0)
#: The code in which a place counts: the handlers themselves are not interrupted.
FILES = {process.__file__, execute.__file__, follow_up.__file__, timeouts.__file__}
HANDLERS = {"_on_stop", "_on_cancel", "_interrupt"}
ENDS = {"_on_stop": Outcome.STOPPED, "_on_cancel": Outcome.CANCELLED}


@pytest.fixture
def fakes(request):
    return FakeServices(request.node.name)


@pytest.fixture
def worker(fakes, monkeypatch):
    ours, theirs = socket.socketpair()
    made = Worker(fakes.services, ours, (), 1)
    made._cleanup = process.Cleanup(1.0)
    # what it looks at is this process, with the threads of other tests
    monkeypatch.setattr(process.Cleanup, "after", lambda *_: None)
    yield made
    ours.close()
    theirs.close()


@pytest.fixture(params=[RUN, FOLLOW_UP])
def order(request, fakes):
    """A task, or the hook of one that has ended."""
    ended = DONE if request.param == FOLLOW_UP else None
    hook = None if ended is None else "math.floor"
    task = fakes.task(func=FUNC, body=b"[[1, 2], {}]", hook=hook)
    return Order(request.param, 1, 1, current.signer.sign(task), ended)


class Signals:
    """Calls handlers at chosen places of a call; a place is an instruction of `_obey`, or
    a line of what it calls."""

    def __init__(self, at: dict[int, Callable[[int, None], None]]) -> None:
        self._at = at
        self.places = 0

    def during(self, call, *args):
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return call(*args)
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _arg: object):
        code = frame.f_code
        if code.co_filename not in FILES or code.co_name in HANDLERS:
            return None
        exact = code.co_name == "_obey"
        frame.f_trace_opcodes = exact
        if event == ("opcode" if exact else "line"):
            self.places += 1
            if (handler := self._at.get(self.places)) is not None:
                # what a trace function raises is raised where the frame is, but ends the
                # tracing; so the next place is looked at by a new one
                try:
                    handler(0, None)
                finally:
                    sys.settrace(self._trace)
        return self._trace


@pytest.mark.parametrize("name", ENDS)
def test_a_signal_ends_no_worker_wherever_it_comes(worker, order, name):
    """The worker replies: the task has ended, was interrupted, or did not hear of it."""
    calm = Signals({})
    whole = calm.during(worker._obey, order)
    seen = set()
    for place in range(1, calm.places + 1):
        reply = Signals({place: getattr(worker, name)}).during(worker._obey, order)
        assert not worker._busy
        assert not timeouts._limits, "its limit would end another task"
        outcome = reply.ended and reply.ended.outcome
        assert outcome in {ENDS[name], whole.ended and whole.ended.outcome}
        seen.add(outcome)
    assert len(seen) == 2, "no place interrupts, or all do"


@pytest.mark.parametrize(
    "names", [("_on_stop", "_on_cancel"), ("_on_cancel", "_on_stop")]
)
def test_a_second_signal_ends_no_worker_either(worker, order, names):
    """It comes a few places after the first: while the first is handled, in most cases."""
    calm = Signals({})
    calm.during(worker._obey, order)
    first, second = (getattr(worker, name) for name in names)
    interrupted = 0
    for place in range(1, calm.places + 1, 3):  # each third, for time's sake
        for later in (1, 5, 25):
            signals = Signals({place: first, place + later: second})
            reply = signals.during(worker._obey, order)
            if reply.ended is not None and reply.ended.outcome == ENDS[names[0]]:
                interrupted += 1
    assert interrupted
