"""Limits: who may run, who waits, and who is next."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.limited import add, later, numbers

from qcore import RUN, Claim
from qcore.features import Park
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current
from qcore.tasks import async_task, cancel, status
from qcore.testing.drain import drain
from qcore_limits import Unique, qcore_sweep
from qcore_limits.models import Hold, LimitKey, WaitingTask
from qcore_limits.places import KEPT, TERM

pytestmark = pytest.mark.usefixtures("queue")


def test_one_at_a_time_in_the_order_of_arrival(cluster):
    ids = [add(number) for number in range(4)]
    answers = cluster.claim()
    assert [answers[id] is RUN for id in ids] == [True, False, False, False]
    assert [status(id) for id in ids[1:]] == ["parked"] * 3
    assert cluster.claim() == {}, "nobody churns"
    for before, now in itertools.pairwise(ids):
        cluster.end(before)
        assert numbers()["one"][:2] == (0, 1)
        assert cluster.claim() == {now: RUN}
        assert numbers()["one"][:2] == (1, 0)
    cluster.end(ids[-1])
    assert numbers() == {"one": (0, 0, 0, 0)}
    assert not WaitingTask.objects.exists()


def test_waiting_uses_up_no_attempt(cluster):
    first, second = add(1), add(2)
    cluster.claim()
    cluster.end(first)
    cluster.claim()
    ticket = Ticket.objects.get(task_id=second)
    assert (ticket.gen, ticket.starts, ticket.runs) == (1, 1, 1)


def test_a_new_task_does_not_overtake_those_that_wait(cluster):
    first, second = add(1), add(2)
    cluster.claim()
    cluster.end(first)
    third = add(3)
    answers = cluster.claim()
    assert answers[second] is RUN
    assert isinstance(answers[third], Park)


def test_keys_do_not_stand_in_each_others_way(cluster):
    hot = [add(1, limits="two") for _ in range(6)]
    other = add(2, limits="two")
    answers = cluster.claim()
    assert [answers[id] is RUN for id in hot] == [True] * 2 + [False] * 4
    assert answers[other] is RUN
    assert numbers() == {"two:1": (2, 0, 4, 0), "two:2": (1, 0, 0, 0)}


@pytest.mark.parametrize(
    "outcome", ["failure", "timeout", "crash", "cancelled", "expired", "discarded"]
)
def test_however_a_task_ends_the_next_one_comes(cluster, outcome):
    first, second = add(1), add(2)
    cluster.claim()
    cluster.end(first, outcome=outcome)
    assert cluster.claim() == {second: RUN}


def test_a_task_that_is_tried_again_gives_its_place_away(cluster):
    first, second = add(1), add(2)
    cluster.claim()
    cluster.end(first, outcome="failure", final=False)
    assert cluster.claim() == {second: RUN}


def test_what_is_given_back_unbegun_frees_its_place(cluster):
    first, second = add(1), add(2)
    cluster.claim()
    cluster.end(first, outcome="stopped", final=False, unstarted=True)
    assert cluster.claim() == {second: RUN}


def test_a_cancelled_task_that_waits_ends_and_the_others_go_on(cluster):
    first, second, third = add(1), add(2), add(3)
    cluster.claim()
    assert cancel([second]) == {second: "parked"}
    (answer,) = cluster.claim().values()
    assert answer.outcome == "cancelled"
    task = next(iter(cluster.running.values()))[0]
    gone = msgspec.structs.replace(task, id=second, gen=1)
    cluster.running[second] = gone, 0
    cluster.end(second, outcome="cancelled")
    assert numbers() == {"one": (1, 0, 1, 0)}
    cluster.end(first)
    assert cluster.claim() == {third: RUN}


def test_one_whose_row_somebody_has_deleted_is_passed_over(cluster):
    first, second, third = add(1), add(2), add(3)
    cluster.claim()
    OutboxRow.objects.filter(task_id=second).delete()
    cluster.end(first)
    assert cluster.claim() == {third: RUN}
    numbers()


def test_several_limits_all_or_none(cluster):
    limits = ["one", "other"]
    holder = add(1, limits="other")
    cluster.claim()
    both = add(2, limits=limits)
    assert isinstance(cluster.claim()[both], Park)
    assert Hold.objects.count() == 1, "it holds nothing of the first while it waits"
    third = add(3, limits="one")
    assert cluster.claim() == {third: RUN}
    cluster.end(holder)
    answer = cluster.claim()[both]
    assert isinstance(answer, Park), "now the other one is taken"
    assert numbers() == {"one": (1, 0, 1, 0), "other": (0, 0, 0, 0)}
    cluster.end(third)
    assert cluster.claim() == {both: RUN}
    assert numbers() == {"one": (1, 0, 0, 0), "other": (1, 0, 0, 0)}


def test_a_test_that_drains_sees_them_all():
    ids = [add(number) for number in range(5)]
    assert drain().succeeded == len(ids)
    assert numbers() == {"one": (0, 0, 0, 0)}
    assert not OutboxRow.objects.exists()


def test_unique_and_limited(cluster):
    first = add(1, unique="job")
    assert add(2, unique="job") == first
    other = add(3, unique="another")
    answers = cluster.claim()
    assert answers[first] is RUN
    assert isinstance(answers[other], Park)
    cluster.end(first)
    assert cluster.claim() == {other: RUN}
    assert add(4, unique="job") != first


def test_a_copy_that_waits_goes_where_an_older_one_has_ended_the_task(
    cluster, monkeypatch
):
    """Its success counts, and nothing of the task is left in the outbox."""
    first = add(1)
    cluster.claim()
    task, start = cluster.running[first]
    later(TERM + KEPT + 1, monkeypatch)
    qcore_sweep(current.ledger.now())
    second = add(2)
    assert cluster.claim() == {second: RUN}
    ((answer, _),) = cluster.features.admit([Claim(task, 2, 0.0)])
    assert isinstance(answer, Park)
    cluster.end(first)
    assert status(first) == "waiting", "it is sent, and dropped at its claim"
    assert numbers() == {"one": (1, 0, 0, 0)}
    assert start == 1


@pytest.mark.parametrize("limits", ["one", "paced"])
def test_a_key_that_is_held_while_waiting_is_free_where_a_limited_task_begins(
    cluster, limits
):
    unique = Unique("job", during="waiting")
    first = add(1, limits=limits, unique=unique)
    assert add(2, limits=limits, unique=unique) == first
    assert cluster.claim() == {first: RUN}
    assert add(3, limits=limits, unique=unique) != first


def test_tasks_that_need_the_same_two_places_do_not_give_way_for_ever(cluster):
    """Each has one of the two reserved, and would give it up for the other one."""
    one, other = add(1, limits="one"), add(2, limits="other")
    cluster.claim()
    first, second = (add(number, limits=["one", "other"]) for number in (3, 4))
    cluster.claim()
    # as if each of them had been parked under another one of the two
    marks = {key.name: key.digest for key in LimitKey.objects.all()}
    for id, name in ((first, "one"), (second, "other")):
        WaitingTask.objects.filter(task_id=id).update(digest=marks[name])
    for key in LimitKey.objects.all():
        key.parked = WaitingTask.objects.filter(digest=key.digest).count()
        key.save()
    cluster.end(one)
    cluster.end(other)
    assert Hold.objects.filter(start=0).count() == 2
    answers = cluster.claim()
    assert answers[first] is RUN, "it has waited longer"
    assert isinstance(answers[second], Park)
    assert numbers() == {
        "one": (1, 0, numbers()["one"][2], 0),
        "other": (1, 0, numbers()["other"][2], 0),
    }
    cluster.end(first)
    assert cluster.claim() == {second: RUN}
    cluster.end(second)
    assert set(numbers().values()) == {(0, 0, 0, 0)}


def test_a_key_with_any_character_is_shown_on_any_database(cluster):
    first = async_task("chores.kind.add", "a\0b\udc80", 1, q_options={"limits": "two"})
    assert cluster.claim() == {first: RUN}
    assert LimitKey.objects.get().label == r"two:a\x00b\udc80"
