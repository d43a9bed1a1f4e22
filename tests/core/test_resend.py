"""Finished tasks are sent again: as what they were, under a new id."""

from __future__ import annotations

import asyncio
import importlib

import pytest
from chores import kind, retrying  # noqa: F401 - else an option that yields is an argument
from django.test import override_settings

from qcore.envelope import RESENT_FROM, new_id
from qcore.errors import (
    BrokerUnavailable,
    CallError,
    EnqueueError,
    StoreRefused,
)
from qcore.models import Task, Tracked
from qcore.runtime import current
from qcore.tasks import (
    adead_groups,
    aresend,
    async_chain,
    async_iter,
    async_task,
    dead_groups,
    dead_tasks,
    discard_dead,
    fetch,
    resend,
    resend_many,
    result,
    status,
)
from qcore.testing.drain import drain, enqueued

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]

SETTINGS = {
    "name": "tests",
    "broker_class": "qcore.brokers.memory.MemoryBroker",
    "commit": "now",
}
FAIL = "chores.retrying.fail_with"


def failed(*args, **options):
    """Return the id of a task that has failed for good."""
    task_id = async_task(FAIL, *(args or ("Refused",)), **options)
    drain(raises=False)
    return task_id


def waiting():
    """Return the one task that waits in the queue."""
    (task,) = enqueued()
    return task


def test_it_is_the_same_task_under_a_new_id():
    old = failed("Refused", group="night", hook="chores.hooks.remember",
                 q_options={"max_attempts": 3, "priority": 7, "timeout": None})  # fmt: skip
    before = current.results.task_of(old)
    new = resend(old)
    task = waiting()
    assert task.id == new != old
    assert task.headers == {RESENT_FROM: old}
    for name in (
        "func",
        "name",
        "queue",
        "body",
        "group",
        "hook",
        "options",
        "priority",
    ):
        assert getattr(task, name) == getattr(before, name), name
    assert fetch(old) is None, "the new one says how it went"
    assert dead_groups() == []
    drain(raises=False)
    assert [one.id for one in dead_tasks()] == [new]
    assert current.results.task_of(new).headers == {RESENT_FROM: old}


def test_a_success_stays_and_is_sent_as_often_as_one_likes():
    old = async_task("chores.kind.add", 20, 22)
    drain()
    new = [resend(old), resend(old)]
    drain()
    assert [result(id) for id in (old, *new)] == [42, 42, 42]
    assert len({old, *new}) == 3


def test_what_is_left_of_a_chain_goes_with_it():
    group = async_chain([(FAIL, ("Refused",)), ("chores.kind.add", (1, 1))])
    drain(raises=False)
    (dead,) = dead_tasks()
    resend(dead.id)
    assert waiting().links == 1
    assert waiting().group == group


def test_a_link_that_has_succeeded_is_sent_again_alone():
    """The next link was sent: what is stored of a chain does not grow with its square."""
    text = "x" * 500
    group = async_chain([("chores.kind.echo", (text,))] * 20)
    drain()
    rows = Task.objects.filter(group=group)
    assert (rows.count(), {row.links for row in rows}) == (20, {0})
    assert max(len(row.payload) for row in rows) < 2 * len(text)
    assert resend(rows[0].id)
    assert waiting().links == 0
    assert drain().succeeded == 1


def test_an_id_of_its_callers_choice_is_not_taken_along():
    old = async_task(FAIL, "Refused", q_options={"task_id": new_id()})
    drain(raises=False)
    assert resend(old) != old
    assert waiting().options.own_id is not True


def test_a_tracked_task_is_tracked_again():
    new = resend(failed("Refused", track=True))
    assert waiting().options.track is True
    drain(raises=False)
    assert Tracked.objects.get(task_id=new).state == "failure"
    assert status(new) == "dead"


def test_a_joined_result_cannot_be_sent():
    group = async_iter("chores.kind.add", [(1, 2), (3, 4)])
    drain()
    assert result(group) == [3, 7]
    with pytest.raises(StoreRefused, match="joined result of several calls"):
        resend(group)


@pytest.mark.parametrize("odd", ["", "a name", None, 7, "0" * 31])
def test_a_text_that_is_no_id_is_refused(odd):
    for call in (
        resend,
        lambda one: resend_many([one]),
        lambda one: discard_dead([one]),
    ):
        with pytest.raises(CallError, match="expected the id of a task"):
            call(odd)


def test_one_that_cannot_be_sent_stops_no_other():
    good, bad, unknown, last = failed(), failed(), new_id(), failed()
    Task.objects.filter(id=bad).update(content="pickle", payload="gASVAA==")
    found = resend_many([good, bad, unknown, last, good])
    assert [one.id for one in found] == [good, bad, unknown, last]
    assert [one.error is None for one in found] == [True, False, False, True]
    assert "accepts json" in str(found[1].error)
    assert isinstance(found[2].error, CallError)
    assert {task.id for task in enqueued()} == {found[0].new_id, found[3].new_id}
    assert {one.id for one in dead_tasks()} == {bad}
    with pytest.raises(EnqueueError, match="accepts json"):
        resend(bad)
    with pytest.raises(CallError, match="no result is stored of the task"):
        resend(unknown)


def test_two_people_who_send_one_task_again_send_it_once(monkeypatch):
    """The second one has read the result before the first one has deleted it."""
    task_id, other = failed(), failed("Refused", group="g")
    module = importlib.import_module("qcore.tasks.resending")
    read, sent = module._stored, []

    def read_and_wait(store, id):
        task = read(store, id)
        if id == task_id and not sent:
            sent.append("")
            sent[0] = resend(task_id)
        return task

    monkeypatch.setattr(module, "_stored", read_and_wait)
    late, fine = resend_many([task_id, other])
    assert (late.new_id, type(late.error)) == (None, CallError)
    assert "somebody else has sent it again" in str(late.error)
    assert sorted(task.id for task in enqueued()) == sorted([sent[0], fine.new_id])
    assert (fetch(task_id), fetch(other)) == (None, None)


def test_a_broker_that_is_away_keeps_the_result(monkeypatch):
    old = failed()
    broker = current.broker()

    def refuse(*_, **__):
        raise BrokerUnavailable("it is away")

    monkeypatch.setattr(type(broker), "enqueue", refuse)
    with pytest.raises(BrokerUnavailable):
        resend(old)
    assert [one.id for one in dead_tasks()] == [old]


def test_a_function_that_is_not_admitted_any_more_is_refused():
    old = failed()
    settings = SETTINGS | {"allowed_tasks": ["shop"]}
    with (
        override_settings(Q_CLUSTER=settings),
        pytest.raises(EnqueueError, match="does not admit"),
    ):
        resend(old)
    assert fetch(old) is not None


def test_groups_tell_errors_and_functions_apart():
    ids = [failed("Refused") for _ in range(3)]
    other = failed("OSError")
    groups = {group.count: group for group in dead_groups()}
    assert set(groups) == {1, 3}
    assert groups[3].func == FAIL
    assert groups[3].error == "Refused: Refused"
    assert groups[1].example == other
    found = dead_tasks(FAIL, groups[3].fingerprint)
    assert {one.id for one in found} == set(ids)
    assert dead_groups(1) == [groups[1]]
    assert discard_dead([*ids, new_id()]) == sorted(ids)
    assert [one.id for one in dead_tasks()] == [other]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "x", True])
def test_what_is_no_limit(limit):
    for call in (dead_groups, dead_tasks):
        with pytest.raises(CallError, match="limit is"):
            call(limit=limit)
    with pytest.raises(CallError, match="func is"):
        dead_tasks(7)


def test_a_cache_says_that_it_cannot_list_the_dead():
    with override_settings(Q_CLUSTER=SETTINGS | {"cached": True}):
        old = failed()
        for call in (dead_groups, dead_tasks, lambda: discard_dead(old)):
            with pytest.raises(StoreRefused, match="CacheStore cannot"):
                call()
        assert resend(old) == waiting().id
        assert fetch(old) is None


def test_the_async_variants_do_the_same():
    async def ask():
        with pytest.raises(CallError, match="aresend"):
            resend(new_id())
        with pytest.raises(CallError, match="no result is stored"):
            await aresend(new_id())
        return await adead_groups()

    assert asyncio.run(ask()) == []
