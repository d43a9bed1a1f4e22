"""The recorder and tracked tasks: ends go with the results, and hold up nobody else."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest
from support.fake_services import FakeServices

from qcore.engine.dispatcher import deliveries, postponed
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.outages import Outage
from qcore.engine.dispatcher.recorder import Recorder
from qcore.envelope import Options, Outcome
from qcore.errors import StoreRefused, StoreUnavailable

TRACKED = Options(track=True)


class FakeTracker:
    """Notes what it is told, and raises what was put there for it."""

    def __init__(self, fakes, database):
        self.fakes = fakes
        self.database = database
        self.ended = []
        self.waiting = []

    @contextmanager
    def transaction(self):
        self.fakes.calls.append("begin")
        yield
        self.fakes.calls.append("commit")

    def end(self, results):
        self.fakes.did("end")
        self.ended += results

    def again(self, ids):
        self.waiting += ids


@pytest.fixture
def desk(request, monkeypatch):
    for module in (deliveries, postponed):
        monkeypatch.setattr(module, "Outage", partial(Outage, first=0.001))
    fakes = FakeServices(f"tracking {request.node.name}")
    fakes.tracker = FakeTracker(fakes, "elsewhere")
    fakes.services = msgspec.structs.replace(
        fakes.services, make_tracker=lambda: fakes.tracker
    )
    return fakes


def run(fakes, *jobs, returned=()):
    recorder = Recorder(fakes.services, fakes.shared, fakes.ready)
    for job in jobs:
        recorder.record(job)
    for job in returned:
        recorder.give_back(job)
    recorder.close()
    thread = threading.Thread(target=recorder.run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def ids(results):
    return [result.task.id for result in results]


def test_result_then_end_then_acknowledgement(desk):
    plain, tracked = desk.ended(), desk.ended(options=TRACKED)
    run(desk, plain, tracked)
    assert ids(desk.tracker.ended) == [tracked.task.id]
    assert desk.calls[:2] == ["save", "end"]
    assert set(desk.calls[2:]) == {"acknowledge"}
    assert desk.waiting == desk.claimed == 0


def test_one_transaction_where_they_are_in_one_database(desk):
    desk.store.database = desk.tracker.database = "default"
    run(desk, desk.ended(options=TRACKED))
    assert desk.calls == ["begin", "save", "end", "commit", "acknowledge"]


def test_a_plain_task_asks_for_no_ledger(desk):
    run(desk, desk.ended())
    assert desk.calls == ["save", "acknowledge"]


def test_a_ledger_that_is_away_holds_up_tracked_tasks_only(desk):
    plain, tracked = desk.ended(), desk.ended(options=TRACKED)
    desk.failures["end"] = [StoreUnavailable("away")] * 3
    run(desk, plain, tracked)
    assert desk.store.fetch(plain.task.id).success
    assert ids(desk.tracker.ended) == [tracked.task.id]
    first = desk.calls.index("acknowledge")
    assert desk.calls[first:].count("end") >= 1, "the plain one did not wait for it"
    assert desk.claimed == 0


def test_an_end_that_is_refused_is_stored_as_a_note(desk):
    refused, sound = desk.ended(options=TRACKED), desk.ended(options=TRACKED)
    end = desk.tracker.end

    def choosy(results):
        if any(one.task.id == refused.task.id and one.success for one in results):
            raise StoreRefused("this one never")
        end(results)

    desk.tracker.end = choosy
    run(desk, refused, sound)
    found = {result.task.id: result.success for result in desk.tracker.ended}
    assert found == {refused.task.id: False, sound.task.id: True}
    assert desk.claimed == 0


def test_a_failed_attempt_is_not_final(desk):
    job = desk.ended(Outcome.FAILURE, b"ValueError: no", options=TRACKED)
    run(desk, job)
    (result,) = desk.tracker.ended
    assert (result.success, result.final) == (False, False)


def test_what_is_given_back_waits_again(desk):
    tracked, plain = desk.running(options=TRACKED), desk.running()
    run(desk, returned=[tracked, plain])
    assert desk.tracker.waiting == [tracked.task.id]


def test_the_end_of_a_copy_is_noted_once_more(desk):
    job = desk.ended(options=TRACKED)
    recorder = Recorder(desk.services, desk.shared, desk.ready)
    recorder.finish(job)
    recorder.close()
    recorder.run()
    assert ids(desk.tracker.ended) == [job.task.id]


def test_a_follow_up_does_not_end_a_task_that_is_tried_again(desk):
    job = desk.ended(Outcome.CRASH, b"WorkerDied: no", options=TRACKED, hook="a.hook")
    run(desk, job)
    (followed,) = desk.ready.jobs
    followed.move(JobState.RUNNING)
    recorder = Recorder(desk.services, desk.shared, desk.ready)
    recorder.finish(followed)
    recorder.close()
    recorder.run()
    assert [result.final for result in desk.tracker.ended] == [False]


@pytest.mark.parametrize("error", [StoreUnavailable("away"), TypeError("odd")])
def test_a_state_that_cannot_be_noted_does_not_end_the_recorder(
    desk, monkeypatch, caplog, error
):
    def fail(ids):
        raise error

    monkeypatch.setattr(desk.tracker, "again", fail)
    returned, tracked = desk.running(options=TRACKED), desk.ended(options=TRACKED)
    run(desk, tracked, returned=[returned])
    assert ids(desk.tracker.ended) == [tracked.task.id]
    assert returned.state is JobState.RELEASED
    assert str(error) in caplog.text
