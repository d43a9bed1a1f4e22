"""What is sent once all calls of an ``async_iter`` have ended: ``on_complete``."""

from __future__ import annotations

import datetime as dt

import chores.kind  # noqa: F401 - the calls of modules that are loaded are checked
import pytest

import qcore
from qcore.errors import EnqueueError
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.signals import pre_enqueue
from qcore.signing import peek
from qcore.tasks import (
    async_iter,
    fetch,
    queue_size,
    result,
    status,
)
from qcore.tasks.calls import follow_on_id
from qcore.tasks.completions import join
from qcore.testing.drain import drain, enqueued

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]


@qcore.task(priority=7)
def urgent(id):
    return f"urgent after {id}"


def test_it_is_sent_after_the_last_call_with_the_id_of_the_iter():
    group = async_iter(
        "chores.kind.add", [(1, 1), (2, 2)], on_complete="chores.kind.echo"
    )
    (row,) = OutboxRow.objects.filter(task_id=follow_on_id(group))
    assert (row.due, row.held_by) == (None, "async_iter"), "it waits"
    drain()
    assert result(group) == [2, 4]
    assert result(follow_on_id(group)) == group
    assert not OutboxRow.objects.exists()


def test_it_is_sent_when_a_call_has_failed_too():
    group = async_iter(
        "chores.kind.fail_if_odd",
        [0, 1],
        on_complete="chores.kind.echo",
        max_attempts=1,
    )
    drain(raises=False)
    assert not fetch(group).success
    assert result(follow_on_id(group)) == group


def test_a_function_says_itself_how_it_is_sent():
    group = async_iter("chores.kind.add", [(1, 1)], on_complete=urgent)
    row = OutboxRow.objects.get(task_id=follow_on_id(group))
    sent = current.signer.verify(bytes(row.package), row.queue)
    assert (sent.func, sent.priority) == (f"{__name__}.urgent", 7)
    drain()
    assert result(sent.id) == f"urgent after {group}"


def test_an_iter_of_nothing_is_complete_at_once():
    group = async_iter("chores.kind.add", [], on_complete="chores.kind.echo")
    (sent,) = enqueued()
    assert sent.id == follow_on_id(group)
    drain()
    assert result(sent.id) == group


def test_it_runs_in_the_caller_with_sync():
    group = async_iter(
        "chores.kind.add", [(1, 1)], on_complete="chores.kind.echo", sync=True
    )
    assert result(follow_on_id(group)) == group
    assert not OutboxRow.objects.exists()


def test_its_calls_are_not_for_a_cluster_that_would_forget_it():
    async_iter("chores.kind.add", [(1, 1)])
    async_iter("chores.kind.add", [(1, 1)], on_complete="chores.kind.echo")
    heads = [current.signer.sign(task)[:3] for task in enqueued()]
    assert heads == [b"qc\x01", b"qc\x02"]


def test_a_late_copy_of_the_last_call_does_not_send_it_again():
    group = async_iter("chores.kind.add", [(1, 1)], on_complete="chores.kind.echo")
    drain()
    join(current.results, group, 1)
    assert enqueued() == [] and not OutboxRow.objects.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("chores.kind.gone", "gone"),
        (3, "3"),
        (lambda id: None, "lambda"),
        ("chores.kind.add_nothing", "argument"),
    ],
)
def test_what_cannot_be_sent_is_told_at_the_call_and_nothing_is_sent(given, message):
    with pytest.raises(EnqueueError, match=message):
        async_iter("chores.kind.add", [(1, 1)], on_complete=given)
    assert queue_size() == 0 and not OutboxRow.objects.exists()


def test_a_call_that_cannot_be_sent_leaves_nothing_that_waits():
    with pytest.raises(EnqueueError):
        async_iter("chores.kind.echo", [1, object()], on_complete="chores.kind.echo")
    assert queue_size() == 0 and not OutboxRow.objects.exists()


def test_a_broker_of_the_caller_is_refused(qcore_queue):
    with pytest.raises(EnqueueError, match=r"on_complete= together with broker="):
        async_iter(
            "chores.kind.add", [(1, 1)], on_complete="chores.kind.echo",
            broker=current.broker(),
        )  # fmt: skip


def test_without_tables_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(type(current.ledger), "is_ready", False)
    with pytest.raises(EnqueueError, match=r"with on_complete=.*manage.py migrate"):
        async_iter("chores.kind.add", [(1, 1)], on_complete="chores.kind.echo")
    assert queue_size() == 0


def test_its_state_is_told_while_it_waits():
    group = async_iter("chores.kind.add", [(1, 1)], on_complete="chores.kind.echo")
    assert status(follow_on_id(group)) is not None


@qcore.task(cluster="mail")
def mails(id):
    return f"mailed {id}"


def test_a_queue_of_its_own_gets_it():
    group = async_iter("chores.kind.add", [(1, 1)], on_complete=mails)
    drain()
    assert [task.id for task in enqueued("mail")] == [follow_on_id(group)]
    drain("mail")
    assert result(follow_on_id(group)) == f"mailed {group}"


@qcore.task(delay=60)
def late(id):
    return id


@qcore.task(run_after=dt.timedelta(seconds=60))
def later(id):
    return id


@qcore.task(expires=60)
def soon(id):
    return id


@pytest.mark.parametrize(
    ("function", "option"), [(late, "delay"), (later, "run_after"), (soon, "expires")]
)
@pytest.mark.parametrize("calls", [[(1, 1)], []])
def test_a_moment_that_would_count_from_nowhere_is_refused(function, option, calls):
    with pytest.raises(EnqueueError, match=f"which has the option '{option}'"):
        async_iter("chores.kind.add", calls, on_complete=function)
    assert queue_size() == 0 and not OutboxRow.objects.exists()


def test_receivers_are_asked_about_it():
    def note(sender, task, **_):
        if task["func"] == "chores.kind.echo":
            task["priority"] = 5

    pre_enqueue.connect(note)
    try:
        group = async_iter("chores.kind.add", [(1, 1)], on_complete="chores.kind.echo")
    finally:
        pre_enqueue.disconnect(note)
    row = OutboxRow.objects.get(task_id=follow_on_id(group))
    assert current.signer.verify(bytes(row.package), row.queue).priority == 5


def test_one_that_is_too_large_for_its_broker_is_told_at_the_call(monkeypatch):
    def check_size(packages):
        if any(peek(package).func == "chores.kind.echo" for package in packages):
            raise EnqueueError("too large")

    monkeypatch.setattr(current.broker(), "check_size", check_size)
    with pytest.raises(EnqueueError, match="too large"):
        async_iter("chores.kind.add", [(1, 1)], on_complete="chores.kind.echo")
    assert queue_size() == 0 and not OutboxRow.objects.exists()


def reports(number, on_complete="nothing"):
    return on_complete


def test_in_q_options_it_leaves_the_keyword_to_the_function():
    group = async_iter(
        reports, [1], on_complete="its own", q_options={"on_complete": urgent}
    )
    drain()
    assert result(group) == ["its own"]
    assert result(follow_on_id(group)) == f"urgent after {group}"
