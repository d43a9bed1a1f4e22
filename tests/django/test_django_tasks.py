"""The backend of ``django.tasks``: on Django 6 its own API, else that of django-tasks."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import pickle
from importlib.util import find_spec
from types import SimpleNamespace
from unittest import mock

import pytest

if not (find_spec("django.tasks") or find_spec("django_tasks") or os.environ.get("CI")):
    pytest.skip("neither Django 6 nor django-tasks", allow_module_level=True)
import chores.django_tasks as chores
from chores import decorated
from chores.outside import OutsideBroker
from django.core.checks import Error
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

import qcore
from qcore.backend.api import (
    InvalidTask,
    InvalidTaskBackend,
    Task,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from qcore.envelope import Attempt, Outcome
from qcore.errors import CallError, EnqueueError, TaskCancelled
from qcore.models import Ticket, Tracked
from qcore.runtime import current
from qcore.status import Progress
from qcore.tasks import async_task, progress_report, result, status
from qcore.tasks.task_function import TaskFunction
from qcore.testing import waiting
from qcore.testing.drain import assert_enqueued, drain, enqueued

BACKEND = "qcore.backend.QcoreBackend"
OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}

pytestmark = pytest.mark.django_db(transaction=True)


def tasks(**params):
    return override_settings(
        TASKS={"default": {"BACKEND": BACKEND, "QUEUES": []} | params}
    )


@pytest.fixture(autouse=True, params=["a broker of the database", "another broker"])
def _project(request):
    """Every test runs with both kinds of brokers."""
    outside = OUTSIDE if request.param == "another broker" else {}
    clusters = {"name": "tests", "workers": 2} | (outside or {"orm": "default"})
    with override_settings(Q_CLUSTER=clusters), tasks():
        OutsideBroker.errors.clear()
        current.broker().purge_queue()
        yield
        current.broker().purge_queue()


@pytest.fixture
def signals():
    """What the signals said: name, sender, status and attempts at that time."""
    said = []
    receivers = []
    for name, signal in (
        ("enqueued", task_enqueued),
        ("started", task_started),
        ("finished", task_finished),
    ):

        def receive(sender, task_result, _name=name, **_):
            said.append((_name, sender, task_result.status, task_result.attempts))

        signal.connect(receive)
        receivers.append((signal, receive))
    yield said
    for signal, receive in receivers:
        signal.disconnect(receive)


# -- 3: a record from enqueue on -----------------------------------------------------
def test_ready_running_successful():
    ready = chores.add.enqueue(2, y=3)
    assert (ready.status, ready.args, ready.kwargs) == ("READY", [2], {"y": 3})
    assert chores.add.get_result(ready.id) == ready
    assert len(ready.id) < 64
    with pytest.raises(ValueError, match="not finished"):
        _ = ready.return_value
    drain()
    ready.refresh()
    assert (ready.status, ready.return_value, ready.attempts) == ("SUCCESSFUL", 5, 1)
    assert ready.enqueued_at <= ready.started_at <= ready.finished_at
    assert ready.last_attempted_at == ready.started_at
    assert status(ready.id) == "succeeded"


def test_what_is_kept_of_a_task():
    after = timezone.now() + dt.timedelta(days=1)
    task = chores.add.using(queue_name="mail", run_after=after)
    found = chores.add.get_result(task.enqueue(1).id)
    assert (found.task.queue_name, found.task.run_after) == ("mail", after)
    assert (found.backend, found.task.backend) == ("default", "default")
    assert status(found.id) == "scheduled"
    current.broker("mail").purge_queue()


@pytest.mark.parametrize("id", ["0" * 32, "", "x" * 64, "\0", None, 7])
def test_an_unknown_id_does_not_exist(id):
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["default"].get_result(id)


def test_the_id_of_another_task_is_a_mismatch():
    with pytest.raises(Exception, match="does not match"):
        chores.fail.get_result(chores.add.enqueue(1).id)


def test_another_alias_and_a_plain_task_do_not_exist():
    plain = async_task(chores.add, 1, q_options={"track": True})
    own = chores.add.enqueue(1)
    two = {"default": {"BACKEND": BACKEND}, "other": {"BACKEND": BACKEND}}
    with override_settings(TASKS=two):
        for alias, id in (("other", own.id), ("default", plain)):
            with pytest.raises(TaskResultDoesNotExist):
                task_backends[alias].get_result(id)


def test_a_function_that_is_gone_is_named():
    id = chores.add.enqueue(1).id
    Tracked.objects.filter(task_id=id).update(func="chores.django_tasks.gone")
    with pytest.raises(InvalidTask, match=r"chores\.django_tasks\.gone"):
        task_backends["default"].get_result(id)


def test_a_queue_that_is_not_allowed_any_more_hides_no_result():
    id = chores.add.using(queue_name="mail").enqueue(1).id
    with tasks(QUEUES=["default"]):
        assert task_backends["default"].get_result(id).task.queue_name == "mail"
    current.broker("mail").purge_queue()


# -- 2: validated at enqueue again, queues ---------------------------------------------
def test_a_queue_is_a_queue_of_clusters():
    task = chores.add.using(queue_name="mail")
    task.enqueue(1)
    assert current.broker("mail").queue_size() == 1
    current.broker("mail").purge_queue()
    with tasks(QUEUES=["default"]), pytest.raises(InvalidTask, match="mail"):
        task.enqueue(1)


def test_default_is_the_queue_of_the_project():
    chores.add.enqueue(1)
    assert current.broker("tests").queue_size() == 1


def test_a_task_under_another_name_is_refused_where_a_worker_would_run_another():
    with pytest.raises(InvalidTask, match="leads to another"):
        chores.shadowed.enqueue()
    chores.plain_task.enqueue()
    drain()


def test_arguments_that_do_not_fit_are_refused_at_the_call():
    with pytest.raises(EnqueueError, match="missing a required argument: 'x'"):
        chores.add.enqueue()
    chores.tell.enqueue(1)  # the context is no argument of the call
    assert Tracked.objects.count() == 1


# -- 4: JSON -----------------------------------------------------------------------------
def test_arguments_are_normalised_as_django_does():
    found = chores.echo.enqueue((1, b"x"), key={"a": (2,)})
    assert (found.args, found.kwargs) == ([[1, "x"]], {"key": {"a": [2]}})
    drain()
    found.refresh()
    assert found.return_value == [[[1, "x"]], {"key": {"a": [2]}}]


@pytest.mark.parametrize("value", [object(), {1, 2}, dt.date(2026, 1, 1)])
def test_what_is_not_for_json_is_a_type_error_at_the_call(value):
    with pytest.raises(TypeError):
        chores.echo.enqueue(value)
    assert Tracked.objects.count() == 0


def test_a_value_that_is_not_for_json_fails_the_task():
    good, bad, worse = (chores.give.enqueue(w) for w in ("tuple", "object", "bytes"))
    drain(raises=False)
    for found in (good, bad, worse):
        found.refresh()
    assert (good.status, good.return_value) == ("SUCCESSFUL", [1, "x"])
    assert (bad.status, bad.errors[0].exception_class) == ("FAILED", TypeError)
    assert (worse.status, worse.errors[0].exception_class) == ("FAILED", ValueError)


# -- 5, 6: what a task and its errors say ------------------------------------------------
def test_the_context_and_the_stored_state_while_it_runs():
    found = chores.tell.enqueue(1, 2)
    drain()
    found.refresh()
    attempt, now, workers, stored, stored_workers, args = found.return_value
    assert (attempt, now, stored, args) == (1, "RUNNING", "RUNNING", [1, 2])
    assert workers == stored_workers == found.worker_ids != []


def test_an_error_has_its_class_and_its_traceback():
    found = chores.fail.enqueue("no such order")
    drain(raises=False)
    found.refresh()
    (error,) = found.errors
    assert found.status == "FAILED"
    assert error.exception_class is ValueError
    assert error.traceback.startswith("Traceback (most recent call last)")
    assert "no such order" in error.traceback
    with pytest.raises(ValueError, match="failed"):
        _ = found.return_value


def test_system_exit_keeps_its_class():
    found = chores.leave.enqueue()
    drain(raises=False)
    found.refresh()
    assert found.errors[0].exception_class is SystemExit


# -- 7, 8: functions --------------------------------------------------------------------
def test_a_coroutine_runs():
    found = chores.add_async.enqueue(2)
    drain()
    found.refresh()
    assert found.return_value == 3


def test_a_task_is_unwrapped_by_the_other_api():
    ids = [async_task(chores.add, 2), async_task("chores.django_tasks.add", 2, 3)]
    drain()
    assert [result(id) for id in ids] == [3, 5]


def test_keywords_of_the_function_arrive_whatever_they_are_called():
    names = [
        "hook",
        "group",
        "timeout",
        "task",
        "func",
        "args",
        "kwargs",
        "sync",
        "broker",
        "cluster",
        "queue",
        "track",
        "name",
        "q_options",
    ]
    found = chores.named.enqueue(**dict.fromkeys(names, 1))
    drain()
    found.refresh()
    assert found.return_value == len(names)


# -- 9: signals --------------------------------------------------------------------------
def test_signals(signals):
    found = chores.add.enqueue(1)
    drain()
    kind = type(task_backends["default"])
    assert signals == [
        ("enqueued", kind, "READY", 0),
        ("started", kind, "RUNNING", 1),
        ("finished", kind, "SUCCESSFUL", 1),
    ]
    signals.clear()
    chores.fail.enqueue()
    drain(raises=False)
    assert [(name, state) for name, _, state, _ in signals] == [
        ("enqueued", "READY"),
        ("started", "RUNNING"),
        ("finished", "FAILED"),
    ]
    assert found.id


def test_a_receiver_that_raises_stops_nothing(caplog):
    def receive(**_):
        raise RuntimeError("of the receiver")

    all_of_them = (task_enqueued, task_started, task_finished)
    for signal in all_of_them:
        signal.connect(receive)
    try:
        found = chores.add.enqueue(1)
        drain()
    finally:
        for signal in all_of_them:
            signal.disconnect(receive)
    found.refresh()
    assert found.return_value == 2
    assert caplog.text.count("a receiver of a signal of django.tasks failed") == 3


# -- 10: transactions --------------------------------------------------------------------
def test_a_rollback_unsends_and_a_commit_sends():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        lost = chores.add.enqueue(1)
        assert chores.add.get_result(lost.id).status == "READY"
        _ = 1 / 0
    with pytest.raises(TaskResultDoesNotExist):
        chores.add.get_result(lost.id)
    assert current.broker().queue_size() == 0
    with transaction.atomic():
        kept = chores.add.enqueue(1)
    drain()
    kept.refresh()
    assert kept.return_value == 2


def test_an_option_sends_at_once():
    with tasks(OPTIONS={"commit": "now"}), transaction.atomic():
        chores.add.enqueue(1)
        assert current.broker().queue_size() == 1


# -- 11: event loops and checks ------------------------------------------------------------
def test_the_async_side():
    async def work():
        found = await chores.add.aenqueue(2)
        again = await chores.add.aget_result(found.id)
        await found.arefresh()
        return found, again

    found, again = asyncio.run(work())
    assert found == again
    assert found.status == "READY"


def test_the_checks_are_clean_and_tell_what_is_wrong():
    assert task_backends["default"].check() == []
    with tasks(QUEUES=["x" * 300]):
        assert [found.id for found in task_backends["default"].check()] == [
            "qcore.E021"
        ]
    with override_settings(INSTALLED_APPS=["django.contrib.contenttypes"]):
        (found,) = task_backends["default"].check()
    assert isinstance(found, Error)
    assert found.id == "qcore.E020"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_attemps": 1}, "did you mean 'max_attempts'"),
        ({"timeout": -1}, "seconds > 0"),
        ({"queue": "mail"}, "for a single task"),
        ([], "no dictionary"),
    ],
)
def test_options_that_are_wrong_are_told(options, told):
    with tasks(OPTIONS=options), pytest.raises(InvalidTaskBackend, match=told):
        _ = task_backends["default"]


# -- 12: run_after, priority -----------------------------------------------------------------
def test_run_after_may_be_a_timedelta():
    task = chores.add.using(run_after=dt.timedelta(hours=1))
    before = timezone.now()
    found = task.enqueue(1)
    assert before < found.task.run_after - dt.timedelta(hours=1) <= timezone.now()
    assert chores.add.get_result(found.id).task.run_after == found.task.run_after
    drain()
    found.refresh()
    assert found.status == "READY"


def test_run_after_without_a_zone_is_refused():
    with pytest.raises(InvalidTask, match="aware"):
        chores.add.using(run_after=dt.datetime(2030, 1, 1))


@pytest.mark.parametrize("priority", [101, -101, 1.5])
def test_a_priority_out_of_range_is_refused(priority):
    with pytest.raises(InvalidTask):
        chores.add.using(priority=priority)


def test_a_priority_is_taken_where_the_broker_has_them():
    if current.broker().supports_priority:
        assert chores.add.using(priority=7).enqueue(1).task.priority == 7
    else:
        with pytest.raises(InvalidTask, match="priority"):
            chores.add.using(priority=7)


def test_bands_are_priorities_for_a_broker_that_has_none():
    with override_settings(Q_CLUSTER=OUTSIDE | {"bands": True}):
        assert current.broker().supports_priority
        assert chores.add.using(priority=7).enqueue(1).task.priority == 7
        current.broker().purge_queue()


# -- attempts, sync, twins -----------------------------------------------------------------
def test_one_attempt_unless_the_settings_say_otherwise():
    chores.add.enqueue(1)
    (sent,) = enqueued()
    assert sent.options.max_attempts == 1
    current.broker().purge_queue()
    with tasks(OPTIONS={"max_attempts": 3}):
        chores.add.enqueue(1)
    (sent,) = enqueued()
    assert sent.options.max_attempts == 3


def test_with_sync_it_has_ended_when_it_is_enqueued(signals):
    settings = current.conf.name
    with override_settings(
        Q_CLUSTER={"name": settings, "orm": "default", "sync": True}
    ):
        good, bad = chores.add.enqueue(1), chores.fail.enqueue()
    assert (good.status, good.return_value) == ("SUCCESSFUL", 2)
    assert bad.status == "FAILED"
    assert [name for name, *_ in signals] == ["enqueued", "started", "finished"] * 2


def test_the_twins_take_what_the_backend_takes():
    for name in ("ImmediateBackend", "DummyBackend"):
        with tasks(BACKEND=f"qcore.backend.{name}", OPTIONS={"timeout": 5}):
            later = chores.add.using(run_after=dt.timedelta(hours=1), priority=5)
            found = later.enqueue(1)
            assert found.is_finished == (name == "ImmediateBackend")
        wrong = tasks(BACKEND=f"qcore.backend.{name}", OPTIONS={"timeuot": 5})
        with wrong, pytest.raises(InvalidTaskBackend, match="timeout"):
            _ = task_backends["default"]
    assert current.broker().queue_size() == 0


# -- more than Django asks: cancel and progress ---------------------------------------------
def test_a_task_that_waits_is_cancelled():
    found = chores.add.enqueue(1)
    assert found.cancel() == "waiting"
    assert Ticket.objects.get(task_id=found.id).cancelled is not None
    # as a cluster ends it
    (task,) = enqueued()
    end = Attempt.failed(Outcome.CANCELLED, "TaskCancelled: by somebody").result(
        task, 1
    )
    current.tracker.end([end])
    found.refresh()
    assert (found.status, found.errors[0].exception_class) == ("FAILED", TaskCancelled)
    current.broker().purge_queue()
    done = chores.add.enqueue(1)
    drain()
    assert chores.add.get_result(done.id).cancel() == "ended"
    later = chores.add.using(run_after=dt.timedelta(days=40)).enqueue(1)
    assert later.cancel() in ("scheduled", "waiting")
    current.broker().purge_queue()


def test_a_task_is_cancelled_and_asked_in_an_event_loop():
    async def work():
        found = await chores.add.aenqueue(1)
        with pytest.raises(CallError, match="acancel"):
            found.cancel()
        with pytest.raises(CallError, match="aprogress"):
            _ = found.progress
        return await found.aprogress(), await found.acancel()

    assert asyncio.run(work()) == (None, "waiting")
    drain(raises=False)


def test_the_progress_of_a_task_is_that_of_its_worker(monkeypatch):
    found = chores.add.enqueue(1)
    assert found.progress is None
    told = Progress(done=3, total=10, note="pages", at=0.0)
    worker = SimpleNamespace(task_id=found.id, progress=told)
    cluster = SimpleNamespace(workers=[worker])
    monkeypatch.setattr(progress_report, "running", lambda: [cluster])
    assert found.progress is told
    assert chores.add.get_result(found.id).progress is told
    current.broker().purge_queue()


def test_results_of_twins_are_cancelled_without_a_table(django_assert_num_queries):
    with django_assert_num_queries(0):
        with tasks(BACKEND="qcore.backend.ImmediateBackend"):
            found = chores.add.enqueue(1)
            assert (found.cancel(), found.progress) == ("ended", None)
            assert found.return_value == 2
        with tasks(BACKEND="qcore.backend.DummyBackend"):
            found = chores.add.enqueue(1)
            (kept,) = task_backends["default"].results
            assert kept == found
            assert (found.cancel(), found.cancel()) == ("waiting", "ended")
            assert (found.status, kept.status) == ("FAILED", "FAILED")
            assert kept.errors[0].exception_class is TaskCancelled
            assert kept is not found


# -- functions with the decorator of qcore ---------------------------------------------------
def test_a_task_function_of_qcore_is_taken_for_a_task():
    backend = task_backends["default"]
    sent = backend.enqueue(decorated.double, [4], {})
    assert (sent.status, sent.task) == ("READY", decorated.double)
    drain()
    sent.refresh()
    assert (sent.status, sent.return_value) == ("SUCCESSFUL", 8)
    assert decorated.double.get_backend() is backend


def test_what_a_task_function_declares_holds_for_django_too():
    backend = task_backends["default"]
    backend.enqueue(decorated.send_receipt, [17], {"copies": 2})
    (task,) = enqueued("mail")
    assert (task.options.timeout, task.options.max_attempts) == (30, 5)
    current.broker("mail").purge_queue()
    after = timezone.now() + dt.timedelta(days=1)
    changed = decorated.double.using(run_after=after)
    assert backend.enqueue(changed, [4], {}).task.run_after == after
    delayed = backend.enqueue(decorated.double.using(delay=86400), [4], {})
    apart = delayed.task.run_after - delayed.enqueued_at
    assert abs(apart - dt.timedelta(days=1)) < dt.timedelta(milliseconds=1)
    assert enqueued() == []


@pytest.mark.parametrize("name", ["double", "rate"])
def test_a_task_function_runs_in_the_immediate_backend(name):
    kind = "qcore.backend.ImmediateBackend"
    call = {"double": ([4], 8), "rate": (["EUR"], 1.0)}
    args, value = call[name]
    with tasks(BACKEND=kind):
        backend = task_backends["default"]
        found = backend.enqueue(getattr(decorated, name), args, {})
    assert (found.status, found.return_value) == ("SUCCESSFUL", value)


# -- functions with the decorator of qcore that are tasks of Django --------------------------
def test_a_function_with_a_backend_is_a_task_of_django():
    receipt = chores.receipt
    assert isinstance(receipt, Task)
    assert isinstance(receipt, TaskFunction)
    assert receipt(1) == receipt.call(1) == "receipt of order 1"
    assert (receipt.name, receipt.module_path) == (
        "receipt",
        "chores.django_tasks.receipt",
    )
    sent = receipt.enqueue(17, hook="!")
    assert (sent.status, sent.task, sent.kwargs) == ("READY", receipt, {"hook": "!"})
    (task,) = enqueued()
    own = (task.options.timeout, task.options.max_attempts, task.group)
    assert own == (30, 5, "receipts"), "and what it declares holds"
    drain()
    sent.refresh()
    assert (sent.status, sent.return_value) == ("SUCCESSFUL", "receipt of order 17!")
    assert receipt.get_result(sent.id).return_value == sent.return_value
    with pytest.raises(TaskResultMismatch):
        receipt.get_result(chores.add.enqueue(1).id)
    with pytest.raises(EnqueueError, match="does not wait"):
        receipt.get_result(sent.id, 100)


def test_it_takes_the_words_of_both(monkeypatch):
    monkeypatch.setattr(waiting, "NEAR", 600)  # no test of how fast this machine is
    after = dt.timedelta(days=1)
    other = chores.receipt.using(queue_name="mail", run_after=after, timeout=60)
    sent = other.enqueue(1)
    assert isinstance(other, Task)
    assert (sent.task.queue_name, chores.receipt.queue_name) == ("mail", "default")
    assert_enqueued(
        chores.receipt.func,
        (1,),
        queue="mail",
        run_after=after,
        timeout=60,
        max_attempts=5,
    )
    assert chores.receipt.using(delay=60).run_after == dt.timedelta(minutes=1)
    assert chores.receipt.using() == chores.receipt
    assert other != chores.receipt
    with tasks(QUEUES=["default"]), pytest.raises(InvalidTask, match="mail"):
        chores.receipt.using(queue="mail")
    with pytest.raises(InvalidTaskBackend):
        chores.receipt.using(backend="no such")
    with pytest.raises(EnqueueError, match=r"unknown option 'tiemout'.*'timeout'"):
        chores.receipt.using(tiemout=3)
    current.broker("mail").purge_queue()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"hook": "chores.kind.hook"}, "task_finished"),
        ({"sync": True}, "ImmediateBackend"),
        ({"typed": True}, "JSON"),
        ({"task_id": "0" * 32}, "makes the id"),
    ],
)
def test_an_option_that_djangos_tasks_cannot_have_is_refused(option, told):
    with pytest.raises(EnqueueError, match=f"beside 'backend'.*{told}"):
        chores.receipt.using(**option)


@pytest.mark.parametrize("backend", ["", None, 7])
def test_a_backend_is_a_name(backend):
    with pytest.raises(EnqueueError, match="expected the name of a backend in TASKS"):
        qcore.task(backend=backend)(decorated.plain)


def test_many_and_the_async_side():
    async def work():
        found = await chores.rate.aenqueue("EUR")
        return await chores.rate.aget_result(found.id), await chores.receipt.amap([3])

    rate, (third,) = asyncio.run(work())
    first, second = chores.receipt.map([(1, "?"), 2])
    drain()
    for found in (rate, first, second, third):
        found.refresh()
    values = [found.return_value for found in (first, second, third, rate)]
    assert values == [*(f"receipt of order {n}" for n in ("1?", 2, 3)), 1.0]


def test_it_is_pickled_by_its_path_and_can_be_patched():
    assert pickle.loads(pickle.dumps(chores.receipt)) is chores.receipt
    other = pickle.loads(pickle.dumps(chores.receipt.using(priority=0, timeout=9)))
    assert (other.options["timeout"], other.backend) == (9, "default")
    assert isinstance(other, Task)
    with mock.patch.object(chores.receipt, "enqueue") as patched:
        chores.receipt.enqueue(1)
    patched.assert_called_once_with(1)


def test_the_other_api_and_the_twins_take_it_too():
    plain = async_task(chores.receipt, 4)
    drain()
    assert result(plain) == "receipt of order 4"
    with tasks(BACKEND="qcore.backend.ImmediateBackend"):
        assert chores.receipt.enqueue(5).return_value == "receipt of order 5"
        assert chores.rate.enqueue("CHF").return_value == 1.1
