"""Progress: what a task may tell, and what is told to those who may not."""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import copy_context

import pytest
from chores import kind
from support.own_modules import give_own

from qcore.engine.dispatcher.pool import WorkerHandle
from qcore.engine.wire.messages import (
    PROGRESS,
    READY,
    pack_progress,
    pack_reply,
    unpack_progress,
)
from qcore.errors import CallError
from qcore.status import Progress, Snapshot, WorkerStatus
from qcore.tasks import aprogress, async_task, progress
from qcore.tasks import progress_report as module
from qcore.testing.drain import drain, perform


@pytest.fixture
def told(monkeypatch):
    """What a worker would send; its clock stands still."""
    sent = []
    clock = [0.0]
    monkeypatch.setattr(module, "_Channel", type("Channel", (module._Channel,), {}))
    give_own(monkeypatch, module, "time", monotonic=lambda: clock[0])
    module.listen(sent.append)
    sent_by = type("Told", (list,), {"clock": clock})(sent)
    sent_by.sent = sent
    return sent_by


def in_task(call):
    """Run something as a task does."""
    kind.called = call
    return perform("chores.kind.call_called")


# -- what is sent ------------------------------------------------------------------------
def test_once_a_second_is_enough(told):
    def work():
        for n in range(10):
            told.clock[0] = n / 4
            progress(n, 100, f"row {n}")

    in_task(work)
    assert [(one.done, one.total, one.note) for one in told.sent] == [
        (0, 100, "row 0"), (4, 100, "row 4"), (8, 100, "row 8"),
    ]  # fmt: skip


def test_the_last_step_is_always_sent(told):
    in_task(lambda: [progress(n, 3) for n in range(4)])
    assert [one.done for one in told.sent] == [0, 3]


def test_the_next_task_begins_anew(told):
    in_task(lambda: progress(1))
    in_task(lambda: progress(2))
    assert [one.done for one in told.sent] == [1, 2]


def test_a_note_is_one_short_line(told):
    in_task(lambda: progress(1, note="x" * 500 + "\nsecond"))
    assert told.sent[0].note == "x" * 200
    assert len(pack_progress(told.sent[0])) < 1000, "it is written at once"


def test_a_share_is_of_a_total():
    assert Progress(done=1, total=4).share == 0.25
    assert Progress(done=5, total=4).share == 1.0
    assert Progress(done=5).share is None
    assert Progress(done=0, total=0).share is None


@pytest.mark.parametrize(
    ("figures", "error", "said"),
    [
        ((-1,), ValueError, "done is -1 .*expected a finite number >= 0"),
        ((float("nan"),), ValueError, "done is nan"),
        ((10**400,), ValueError, "done is 1"),
        ((1, float("inf")), ValueError, "total is inf"),
        ((True,), TypeError, "done is True"),
        ((None,), TypeError, "done is None"),
        ((1, "ten"), TypeError, "total is 'ten'"),
        ((1, 2, 3), TypeError, "note is 3 .*expected a text"),
    ],
)
def test_what_is_no_figure_is_told(told, figures, error, said):
    with pytest.raises(error, match=said):
        in_task(lambda: progress(*figures))
    assert told.sent == []


# -- who may ------------------------------------------------------------------------------
def test_outside_of_a_task():
    with pytest.raises(CallError, match=r"none runs here.*progress\(task_id\)"):
        progress(1, 2)


def caught_in_thread(call):
    errors = []

    def run():
        try:
            call()
        except CallError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


def test_in_a_thread_of_a_task(told):
    """A thread without the context of the task, and one that has it."""
    (bare,) = in_task(lambda: caught_in_thread(lambda: progress(1)))
    assert "another thread" in bare

    def with_context():
        context = copy_context()
        return caught_in_thread(lambda: context.run(progress, 1))

    (copied,) = in_task(with_context)
    assert "a thread that the task chores.kind.call_called has started" in copied
    assert told.sent == []


def test_after_the_end(told):
    in_task(lambda: progress(1))
    with pytest.raises(CallError, match="the task has ended"):
        progress(2)


def test_in_a_fork_of_a_task(told, monkeypatch):
    pid = os.getpid()
    give_own(monkeypatch, module, "os", getpid=lambda: pid + 1)
    with pytest.raises(CallError, match="in a process that the task has forked"):
        in_task(lambda: progress(1))


@pytest.mark.django_db
def test_where_nobody_listens_it_is_dropped(qcore_queue):
    kind.called = lambda: progress(1, 2)
    async_task("chores.kind.call_called")
    assert drain().succeeded == 1


# -- what the dispatcher makes of it ---------------------------------------------------------
def test_a_frame_cannot_be_taken_for_a_reply():
    told = Progress(done=1.5, total=3, note="ü", at=2.0)
    assert pack_progress(told)[:1] == PROGRESS != pack_reply(READY)[:1]
    assert unpack_progress(pack_progress(told)) == told


def test_only_the_job_that_told_it_has_it():
    first, second = object(), object()
    worker = WorkerHandle(1, 1, None)
    worker.note_progress(pack_progress(Progress(done=1)))
    assert worker.progress is None, "of nobody"
    worker.job = first
    worker.note_progress(PROGRESS + b"\xc1")
    assert worker.progress is None, "it is logged, and the worker goes on"
    worker.note_progress(pack_progress(Progress(done=1)))
    assert worker.progress == (first, Progress(done=1))
    worker.job = second
    assert worker.progress[0] is not worker.job


# -- reading -----------------------------------------------------------------------------
@pytest.fixture
def clusters(monkeypatch):
    busy = WorkerStatus(
        index=1,
        pid=2,
        state="busy",
        task_id="a" * 32,
        progress=Progress(done=3, total=4),
    )
    shown = Snapshot(
        cluster="c", name="n", queue="q", host="h", version="2", broker="b",
        state="running", sentinel_pid=1, dispatcher_pid=2, started=0.0, at=0.0,
        workers=[WorkerStatus(index=2, pid=3, state="idle"), busy],
    )  # fmt: skip
    monkeypatch.setattr(module, "running", lambda: [shown])


def test_anybody_reads_it_by_the_id(clusters):
    assert progress("a" * 32).share == 0.75
    assert progress("b" * 32) is None


def test_in_an_event_loop_it_has_a_variant(clusters):
    async def ask():
        with pytest.raises(CallError, match="await aprogress"):
            progress("a" * 32)
        return await aprogress("a" * 32)

    assert asyncio.run(ask()).done == 3
