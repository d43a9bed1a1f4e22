"""Tracked tasks: found from their enqueueing on, on any broker, and kept by age."""

from __future__ import annotations

import time

import chores.kind  # noqa: F401 - else an option that yields would be an argument
import pytest
from chores.outside import OutsideBroker
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from qcore.envelope import Attempt, Outcome
from qcore.errors import (
    BrokerUnavailable,
    CallError,
    EnqueueError,
    NoReply,
    StoreRefused,
)
from qcore.ledger.relay import Relay
from qcore.ledger.tracked import Tracker
from qcore.models import OutboxRow, Task, Tracked
from qcore.runtime import current
from qcore.tasks import State, async_task, async_task_many, fetch, status
from qcore.tasks.calls import build
from qcore.tasks.state import of_outcome
from qcore.testing.drain import drain

OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def outside():
    """A broker outside of the database."""
    with override_settings(Q_CLUSTER=OUTSIDE):
        OutsideBroker.errors.clear()
        broker = current.broker()
        broker.purge_queue()
        yield broker
        OutsideBroker.errors.clear()
        broker.purge_queue()


@pytest.fixture(autouse=True)
def _empty():
    yield
    if not OutsideBroker.errors:
        current.broker().purge_queue()


@pytest.fixture
def tracker():
    return Tracker(current.conf)


def ended(task, outcome=Outcome.SUCCESS, at=None, *, final=True, text="Oops: no"):
    at = time.time() if at is None else at
    if outcome == Outcome.SUCCESS:
        attempt = Attempt(outcome, b"7", "json", at - 1, at)
    else:
        attempt = Attempt.failed(outcome, text, at - 1, at)
    return attempt.result(task, 1, final=final)


def tracked_task(**fields):
    return build("chores.kind.add", [1], track=True, **fields)


# -- sending -------------------------------------------------------------------------
def test_a_task_is_found_from_its_enqueueing_to_its_end():
    task_id = async_task("chores.kind.add", 1, 2, track=True)
    assert status(task_id) == State.WAITING
    drain()
    assert status(task_id) == State.SUCCEEDED == "succeeded"
    (row,) = Tracked.objects.all()
    assert (row.state, row.value, row.workers.count("\n")) == ("success", "3", 1)
    assert row.enqueued <= row.started == row.attempted <= row.finished


def test_a_failure_is_dead_with_its_error():
    task_id = async_task("chores.kind.fail", "no", track=True)
    drain(raises=False)
    assert status(task_id) == State.DEAD
    (error,) = Tracker(current.conf).find(task_id).errors
    assert error.path == "builtins.ValueError"
    assert error.traceback.startswith("Traceback")
    assert error.traceback.endswith("ValueError: no\n")


def test_a_plain_task_has_no_row_and_no_statement(outside):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        task_id = async_task("chores.kind.add", 1)
        drain()
    assert "qcore_tracked" not in str(queries.captured_queries)
    assert Tracked.objects.count() == 0
    assert status(task_id) == State.SUCCEEDED


def test_many_are_written_in_batches():
    with CaptureQueriesContext(connection) as queries:
        ids = async_task_many("chores.kind.add", [(n,) for n in range(200)], track=True)
    inserts = [q for q in queries.captured_queries if "INTO qcore_tracked" in q["sql"]]
    assert 1 < len(inserts) < 10
    assert set(Tracked.objects.values_list("task_id", flat=True)) == set(ids)


def test_it_is_kept_by_age_whatever_save_limit_says(tracker):
    with override_settings(
        Q_CLUSTER={"name": "tests", "orm": "default", "save_limit": -1}
    ):
        task_id = async_task("chores.kind.add", 1, track=True)
        drain()
        assert fetch(task_id) is None
        assert status(task_id) == State.SUCCEEDED
    assert not tracker.prune(60)
    assert tracker.find(task_id).value == "1"
    tracker.prune(-1)
    assert tracker.find(task_id) is None
    assert current.conf.keep_tracked == 14 * 24 * 3600


def test_what_never_ended_is_forgotten_after_a_long_time(tracker, caplog):
    """Its queue was purged: nobody will end it."""
    day, now = 86_400, time.time()
    ids = {
        word: async_task("chores.kind.add", 1, track=True)
        for word in ("lost", "young", "later", "tried", "outbox")
    }
    rows = Tracked.objects.exclude(task_id=ids["young"])
    rows.update(enqueued=now - 100 * day)
    Tracked.objects.filter(task_id=ids["later"]).update(run_after=now + day)
    Tracked.objects.filter(task_id=ids["tried"]).update(attempted=now - 80 * day)
    OutboxRow.objects.create(due=4e9, queue="q", task_id=ids["outbox"], package=b"")
    Relay(current.conf).tick()
    left = set(Tracked.objects.values_list("task_id", flat=True))
    assert left == set(ids.values()) - {ids["lost"]}
    assert f"forgotten that nobody has seen for 90 days: {ids['lost']}" in caplog.text
    tracker.forget_lost(10 * day)
    left = set(Tracked.objects.values_list("task_id", flat=True))
    assert left == {ids["young"], ids["later"], ids["outbox"]}


def test_the_relay_prunes(settings):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", "keep_tracked": 1}
    old, young = tracked_task(), tracked_task()
    tracker = Tracker(current.conf)
    tracker.end([ended(old, at=time.time() - 60), ended(young)])
    waiting = async_task("chores.kind.add", 1, track=True)
    Relay(current.conf).tick()
    left = set(Tracked.objects.values_list("task_id", flat=True))
    assert left == {young.id, waiting}


# -- transactions ----------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["broker's own database", "outbox"])
def test_a_rollback_takes_row_and_package_along(kind, request):
    if kind == "outbox":
        request.getfixturevalue("outside")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        task_id = async_task("chores.kind.add", 1, track=True)
        assert status(task_id) == State.WAITING
        _ = 1 / 0
    assert status(task_id) is None
    assert (current.broker().queue_size(), OutboxRow.objects.count()) == (0, 0)
    with transaction.atomic():
        task_id = async_task("chores.kind.add", 1, track=True)
    assert status(task_id) == State.WAITING
    drain()
    assert status(task_id) == State.SUCCEEDED


def test_what_the_broker_refuses_is_not_tracked(outside):
    OutsideBroker.errors[:] = [BrokerUnavailable("away")]
    with pytest.raises(BrokerUnavailable):
        async_task("chores.kind.add", 1, track=True)
    assert Tracked.objects.count() == 0


def test_what_may_have_been_sent_is_tracked(outside):
    unsure = NoReply("no reply")
    unsure.unsure = 1
    OutsideBroker.errors[:] = [unsure]
    with pytest.raises(NoReply) as caught:
        async_task("chores.kind.add", 1, track=True)
    (task_id,) = caught.value.task_ids
    assert status(task_id) == State.WAITING


def test_a_delay_is_scheduled_and_the_outbox_keeps_it(outside):
    task_id = async_task("chores.kind.add", 1, track=True, delay=10**8)
    plain = async_task("chores.kind.add", 1, delay=10**8)
    assert status(task_id) == status(plain) == State.SCHEDULED
    assert OutboxRow.objects.count() == 2
    OutboxRow.objects.update(due=None)
    assert status(task_id) == status(plain) == State.PARKED


def test_sent_now_inside_of_a_transaction_the_worker_writes_the_row(outside):
    with transaction.atomic():
        task_id = async_task("chores.kind.add", 1, track=True, commit="now")
        assert Tracked.objects.count() == 0
    drain()
    assert status(task_id) == State.SUCCEEDED


# -- ends ------------------------------------------------------------------------------
def test_the_first_final_end_stands_and_an_end_may_come_twice(tracker):
    task = tracked_task()
    tracker.begin(task, "host:1", 5.0)
    failed = ended(task, Outcome.FAILURE, 10.0, final=False)
    tracker.end([failed])
    tracker.end([failed])
    row = tracker.find(task.id)
    assert (row.state, row.finished, len(row.errors)) == ("waiting", None, 1)
    tracker.begin(task, "host:2", 20.0)
    tracker.end([ended(task, Outcome.TIMEOUT, 30.0)])
    tracker.end([ended(task, at=32.0)])
    tracker.begin(task, "host:3", 40.0)
    row = tracker.find(task.id)
    assert row.workers == ["host:1", "host:2"]
    assert (row.started, row.attempted) == (5.0, 20.0)
    assert (row.state, status(task.id)) == ("timeout", State.DEAD)
    assert [error.path for error in row.errors] == [
        "qcore.errors.TaskError",
        "qcore.errors.TaskTimeout",
    ]


def test_a_task_that_fails_for_ever_keeps_its_last_errors(tracker):
    task = tracked_task()
    for moment in range(30):
        tracker.end([ended(task, Outcome.FAILURE, float(moment), final=False)])
    row = tracker.find(task.id)
    assert [error.moment for error in row.errors] == [float(n) for n in range(10, 30)]


def test_a_success_keeps_the_errors_before_it(tracker):
    task = tracked_task()
    tracker.end([ended(task, Outcome.CRASH, 10.0, final=False)])
    tracker.end([ended(task, at=20.0)])
    row = tracker.find(task.id)
    assert (row.state, row.value) == ("success", "7")
    assert [error.path for error in row.errors] == ["qcore.errors.WorkerDied"]


def test_a_row_whose_errors_cannot_be_read_stops_no_other(tracker, caplog):
    tasks = [tracked_task(), tracked_task()]
    tracker.write([(task, "tests", None) for task in tasks])
    Tracked.objects.filter(task_id=tasks[0].id).update(errors="[[cut")
    tracker.end([ended(task, Outcome.FAILURE) for task in tasks])
    assert [len(tracker.find(task.id).errors) for task in tasks] == [1, 1]
    assert f"the errors of task {tasks[0].id} cannot be read" in caplog.text


def test_a_task_that_is_given_back_waits_again(tracker):
    task = tracked_task()
    tracker.begin(task, "host:1", 5.0)
    assert status(task.id) == State.RUNNING
    tracker.again([task.id])
    assert status(task.id) == State.WAITING
    tracker.end([ended(task)])
    tracker.again([task.id])
    assert status(task.id) == State.SUCCEEDED


def test_a_value_that_no_database_takes_is_refused(tracker, monkeypatch):
    task = tracked_task()
    monkeypatch.setattr(tracker, "_insert", lambda rows: [].append(1, 2))
    with pytest.raises(StoreRefused, match="cannot note how a task has ended"):
        tracker.end([ended(task)])


# -- the state of others ----------------------------------------------------------------
def test_of_a_plain_task_only_what_is_seen_is_told():
    task_id = async_task("chores.kind.fail")
    assert status(task_id) is None, "it waits at the broker"
    drain(raises=False)
    assert status(task_id) == State.DEAD, "drain() runs a task once"
    given_up = async_task("chores.kind.fail", max_attempts=1)
    drain(raises=False)
    assert status(given_up) == State.DEAD
    assert status("0" * 32) is None
    for text in ("", fetch(given_up).name, "0" * 31, 7):
        with pytest.raises(CallError, match="expected the id of a task"):
            status(text)


def test_each_outcome_is_a_state():
    never = {Outcome.STOPPED, Outcome.SNOOZED, Outcome.SUSPENDED}
    stored = set(Outcome) - never
    assert {of_outcome(outcome) for outcome in stored} >= {State.SUCCEEDED, State.DEAD}


def test_without_tables_it_says_migrate():
    with connection.schema_editor() as editor:
        editor.delete_model(Tracked)
    try:
        with pytest.raises(BrokerUnavailable, match=r"manage\.py migrate"):
            async_task("chores.kind.add", 1, track=True)
        assert current.broker().queue_size() == 0
        assert Relay(current.conf).tick() >= 0
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Tracked)


def test_without_the_app_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(type(current), "tracker", None)
    with pytest.raises(EnqueueError, match="INSTALLED_APPS"):
        async_task("chores.kind.add", 1, track=True)


def test_a_database_that_is_away_keeps_no_task_from_running(monkeypatch, caplog):
    task_id = async_task("chores.kind.add", 1, track=True)
    monkeypatch.setattr(Tracker, "_execute", lambda *_: [].append(1, 2))
    monkeypatch.setattr(Tracker, "_rows", lambda *_: [])
    drain()
    assert "runs unseen" in caplog.text
    assert Task.objects.get(id=task_id).success
