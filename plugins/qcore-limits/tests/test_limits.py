"""Limits: who may run, who waits, and who is next."""

from __future__ import annotations

import itertools
import random
from typing import ClassVar

import msgspec
import pytest
from chores import decorated
from django.db import transaction
from django.test import override_settings
from support.limited import LIMITS, OUTSIDE, add, later, numbers

from qcore import RUN, RUN_HOLDING, Claim
from qcore.errors import EnqueueError
from qcore.features import Later, Park, Release
from qcore.ledger.clock import Clock
from qcore.ledger.relay import Relay
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current
from qcore.tasks import async_task, cancel, status
from qcore.testing.drain import drain, enqueued
from qcore_limits import Limit, Unique, keys, pacing, qcore_sweep
from qcore_limits.holding import EVERY, renew
from qcore_limits.models import Hold, LimitChange, LimitKey, WaitingTask
from qcore_limits.pacing import replan
from qcore_limits.places import KEPT, RESERVED, TERM
from qcore_limits.unique import LONGEST

pytestmark = pytest.mark.usefixtures("queue")


# -- the declaration ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "concurrency= or rate="),
        ({"concurrency": 0}, "concurrency=1 to"),
        ({"concurrency": True}, "concurrency=1 to"),
        ({"concurrency": 2.5}, "concurrency=1 to"),
        ({"rate": "100"}, "rate='100/m'"),
        ({"rate": "100/w"}, "rate='100/m'"),
        ({"rate": "0/m"}, "rate='100/m'"),
        ({"rate": "-1/m"}, "rate='100/m'"),
        ({"rate": 5}, "rate='100/m'"),
        ({"rate": f"{'9' * 400}/s"}, "rate='100/m'"),
        ({"rate": "0.001/366d"}, "rate='100/m'"),
        ({"rate": f"1/{'9' * 400}d"}, "rate='100/m'"),
        ({"rate": "5/0s"}, "rate='100/m'"),
        ({"rate": "1/m", "burst": 0}, "burst=1 to"),
        ({"concurrency": 1, "burst": 2}, "burst= together with rate="),
        ({"concurrency": 1, "key": "{"}, "template of the key"),
        ({"concurrency": 1, "key": "{a.b}"}, "no such name"),
        ({"concurrency": 1, "key": ""}, "key="),
    ],
    ids=str,
)
def test_what_nobody_can_have_meant_is_refused_where_it_is_written(words, said):
    with pytest.raises(ValueError, match=said):
        Limit("smtp", **words)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, 5, "ö"])
def test_names(name):
    with pytest.raises(ValueError, match="name="):
        Limit(name, concurrency=1)


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        ("100/m", 0.6),
        ("5/s", 0.2),
        ("1/h", 3600),
        ("5/10s", 2),
        ("0.5/s", 2),
        ("2/d", 43200),
    ],
)
def test_rates(rate, seconds):
    assert Limit("x", rate=rate).pace == pytest.approx(seconds)


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        [5],
        ["one", "one"],
        [["one"]],
        {"name": "x", "speed": 5},
        "a b",
        {"name": "x"} | {"rate": "?"},
    ],
    ids=str,
)
def test_options_that_cannot_be_read(wrong):
    with pytest.raises(EnqueueError, match="limits"):
        add(1, limits=wrong)
    assert enqueued() == []


def test_a_limit_that_nobody_has_declared():
    with pytest.raises(EnqueueError, match=r"'onne'.* did you mean 'one'.*Q_CLUSTER"):
        add(1, limits="onne")
    assert enqueued() == []


def test_a_key_that_cannot_be_filled():
    with pytest.raises(EnqueueError, match="names 'customer', which is no argument"):
        add(1, limits=Limit("api", concurrency=1, key="{customer}"))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"y": {"rate": "1/s"}, "x": {}},
            "['x'] is {} (dict), expected concurrency= or",
        ),
        ({"x": {"speed": 1}}, "['x']: unknown key 'speed'"),
        (
            {"x": {"concurency": 1}},
            "unknown key 'concurency' - did you mean 'concurrency'?",
        ),
        ({"x": 5}, "['limits']['x'] is 5 (int), expected a dict"),
        ([], "['limits'] is [] (list), expected limits by their names"),
        ({"x": {"rate": "1/w"}}, "['x']['rate'] is '1/w' (str), expected rate='100/m'"),
        (
            {"x": {"concurrency": "4"}},
            "['x']['concurrency'] is '4' (str), expected an int",
        ),
        ({"x": {"concurrency": 1, "burst": 2}}, "expected burst= together with rate="),
        ({"x": {"rate": "1/s", "key": "{a.b}"}}, "'a.b' is no such name"),
        ({"a b": {"rate": "1/s"}}, "['a b'] is {'rate': '1/s'} (dict), expected name="),
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant(limits, said):
    from qcore.errors import ConfigError

    with (
        override_settings(Q_CLUSTER=OUTSIDE | {"limits": limits}),
        pytest.raises(ConfigError, match="limits") as raised,
    ):
        _ = current.conf
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({"limits": {"name": "x", "concurency": 1}}, "did you mean 'concurrency'?"),
        ({"unique": {"on_conflcit": "skip"}}, "did you mean 'on_conflict'?"),
        ({"unique": {"on_conflict": "rplace"}}, "did you mean 'replace'?"),
        ({"unique": {"during": "until-done"}}, "did you mean 'until_done'?"),
    ],
    ids=str,
)
def test_a_word_that_is_nearly_right_is_told(options, near):
    with pytest.raises(EnqueueError) as raised:
        async_task("chores.kind.add", 1, q_options=options)
    assert near in str(raised.value)
    assert enqueued() == []


def test_false_is_as_if_it_were_left_out(cluster):
    async_task("chores.kind.add", 1, q_options={"limits": False})
    async_task("chores.kind.add", 1, q_options={"limits": []})
    assert set(cluster.claim().values()) == {RUN}
    assert not LimitKey.objects.exists()


def test_a_declared_function_with_a_limit_of_its_own(cluster):
    alone = decorated.double.using(limits=[Limit("d", concurrency=1, key="{number}")])
    first, second, third = alone.map([1, 1, 2])
    answers = cluster.claim()
    assert (answers[first], answers[third]) == (RUN, RUN)
    assert isinstance(answers[second], Park)
    assert numbers() == {"d:1": (1, 0, 1, 0), "d:2": (1, 0, 0, 0)}


# -- places ------------------------------------------------------------------------------
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


# -- holds -------------------------------------------------------------------------------
def copy_of(cluster, id):
    """Claim the same package once more, as after the end of a lease."""
    task, _ = cluster.running[id]
    ((answer, ticket),) = cluster.features.admit([Claim(task, 2, 0.0)])
    return RUN if answer is RUN_HOLDING else answer, ticket


def test_only_a_place_is_renewed(cluster):
    add(1), add(1, limits="paced")
    tasks = enqueued()
    found = cluster.features.admit([Claim(task, 1, 0.0) for task in tasks])
    assert [answer for answer, _ in found] == [RUN_HOLDING, RUN]


def test_a_copy_of_a_task_that_runs_is_put_off(cluster):
    first = add(1)
    cluster.claim()
    answer, ticket = copy_of(cluster, first)
    assert isinstance(answer, Release)
    assert TERM - 5 < answer.after < TERM + 5
    assert (ticket.gen, ticket.starts) == (0, 1)


def test_a_hold_that_nobody_renews_is_kept_for_its_task_and_freed_after_that(
    cluster, monkeypatch
):
    """The cluster has died: its worker too, within a minute."""
    first, second = add(1), add(2)
    cluster.claim()
    later(TERM + 1, monkeypatch)
    qcore_sweep(current.ledger.now())
    assert cluster.claim() == {}
    answer, ticket = copy_of(cluster, first)
    assert (answer, ticket.starts) == (RUN, 2)
    later(TERM + KEPT + 1, monkeypatch)
    assert qcore_sweep(current.ledger.now()) <= EVERY
    assert cluster.claim() == {second: RUN}
    # the old worker has come back to life, and says how its run ended
    cluster.end(first)
    assert numbers() == {"one": (1, 0, 0, 0)}, "the hold of another task stays"


@pytest.mark.fault("J14")
def test_a_sweep_of_keys_that_fails_leaves_no_place_taken(cluster, monkeypatch):
    """The places of dead clusters are freed whatever is wrong with the other tables."""
    first, second = add(1), add(2)
    assert cluster.claim()[first] == RUN
    later(TERM + KEPT + 1, monkeypatch)

    def fail(now):
        raise ValueError("odd")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "sweep", fail)
        with pytest.raises(ValueError, match="odd"):
            qcore_sweep(current.ledger.now())
    assert second in cluster.claim()


def test_a_change_that_somebody_has_written_by_hand_stops_no_task(cluster, caplog):
    LimitChange.objects.create(name="paced", rate="100 per minute", changed=0.0)
    first = add(1)
    assert first in cluster.claim()
    assert "the change of the limit 'paced' is not heeded" in caplog.text


def test_a_start_in_many_years_is_asked_for_within_the_limit(cluster):
    """No task of a line that long is taken for one that its plugin fails on."""
    slow = Limit("slow", rate="1/366d")
    add(1, limits=slow)
    cluster.claim()
    LimitKey.objects.update(later=1, next_start=current.ledger.now() + 1e12)
    second = add(2, limits=slow)
    answer = cluster.claim()[second]
    assert answer.after == LONGEST


def test_a_hold_that_is_renewed_lasts(cluster, monkeypatch):
    first, second = add(1), add(2)
    cluster.claim()
    task, start = cluster.running[first]
    claim = Claim(task, 1, 0.0, start)
    for _ in range(20):
        later(EVERY, monkeypatch)
        with transaction.atomic():
            assert renew([claim], current.ledger.now()) == []
        qcore_sweep(current.ledger.now())
    assert cluster.claim() == {}
    assert isinstance(copy_of(cluster, first)[0], Release)
    cluster.end(first)
    assert cluster.claim() == {second: RUN}


def test_a_start_that_another_one_has_followed_is_told_and_frees_nothing(
    cluster, monkeypatch
):
    first = add(1)
    cluster.claim()
    task, start = cluster.running[first]
    later(TERM + 1, monkeypatch)
    assert copy_of(cluster, first)[0] is RUN
    with transaction.atomic():
        assert renew([Claim(task, 1, 0.0, start)], current.ledger.now()) == [first]
    cluster.end(first, final=False)
    assert numbers() == {"one": (1, 0, 0, 0)}


def test_a_place_that_was_reserved_in_vain_goes_to_the_next_one(cluster, monkeypatch):
    first, second, third = add(1), add(2), add(3)
    cluster.claim()
    cluster.end(first)
    Relay(current.conf).tick()
    later(RESERVED + 1, monkeypatch)  # its queue is long
    qcore_sweep(current.ledger.now())
    assert Hold.objects.get().task_id == third
    # both come: the one that is late has waited longer, and the place is not taken yet
    answers = cluster.claim()
    assert answers[second] is RUN
    assert isinstance(answers[third], Park)
    cluster.end(second)
    assert cluster.claim() == {third: RUN}, "it has kept its turn"
    numbers()


def test_one_that_comes_too_late_keeps_its_turn(cluster, monkeypatch):
    first, second, third = add(1), add(2), add(3)
    cluster.claim()
    cluster.end(first)
    Relay(current.conf).tick()
    (late,) = enqueued()
    current.broker().purge_queue()  # its queue is very long
    later(RESERVED + 1, monkeypatch)
    qcore_sweep(current.ledger.now())
    assert cluster.claim() == {third: RUN}
    current.broker().enqueue(current.signer.sign(late))
    fourth = add(4)
    assert all(isinstance(answer, Park) for answer in cluster.claim().values())
    cluster.end(third)
    assert cluster.claim() == {second: RUN}
    cluster.end(second)
    assert cluster.claim() == {fourth: RUN}
    numbers()


def test_a_batch_that_is_undone_leaves_nothing(cluster):
    add(1), add(2)
    broker = current.broker()
    tasks = enqueued()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        cluster.features.admit([Claim(task, 1, 0.0) for task in tasks])
        _ = 1 / 0
    assert not Hold.objects.exists()
    assert not OutboxRow.objects.exists()
    assert broker.queue_size() == 2


# -- rates -------------------------------------------------------------------------------
def test_starts_are_spread_and_each_task_comes_once_more(cluster, monkeypatch):
    ids = [add(number, limits="paced") for number in range(4)]
    answers = cluster.claim()
    assert answers[ids[0]] is RUN
    waits = [answers[id].after for id in ids[1:]]
    assert waits == pytest.approx([10, 20, 30], abs=1)
    assert all(isinstance(answers[id], Later) for id in ids[1:])
    assert [status(id) for id in ids[1:]] == ["scheduled"] * 3
    for id in ids[1:]:
        assert cluster.claim() == {}
        later(10.1, monkeypatch)
        assert cluster.claim() == {id: RUN}
    cluster.end(*ids)
    assert numbers() == {"paced": (0, 0, 0, 0)}


def test_a_start_that_was_not_made_is_left(cluster):
    first = add(1, limits="paced")
    cluster.claim()
    cluster.end(first, outcome="stopped", final=False, unstarted=True)
    second = add(2, limits="paced")
    assert cluster.claim() == {second: RUN}


def test_a_burst_after_a_pause(cluster, monkeypatch):
    ids = [add(number, limits="bursty") for number in range(5)]
    answers = cluster.claim()
    assert [answers[id] is RUN for id in ids] == [True] * 3 + [False] * 2
    later(1000, monkeypatch)
    cluster.claim()
    more = [add(number, limits="bursty") for number in range(4)]
    answers = cluster.claim()
    assert sum(answer is RUN for answer in answers.values()) == 1, "two came just now"
    assert len(more) == len(answers)


def test_a_new_task_does_not_take_the_start_of_one_that_waits(cluster, monkeypatch):
    first, second = add(1, limits="paced"), add(2, limits="paced")
    cluster.claim()
    later(9.9, monkeypatch)
    third = add(3, limits="paced")
    (answer,) = cluster.claim().values()
    assert isinstance(answer, Later)
    assert answer.after == pytest.approx(10.1, abs=1)
    later(0.3, monkeypatch)
    assert cluster.claim() == {second: RUN}
    later(10.1, monkeypatch)
    assert cluster.claim() == {third: RUN}
    assert first in cluster.running


def test_what_comes_late_all_at_once_is_spread_anew(cluster, monkeypatch):
    """As after an outage of an hour."""
    ids = [add(number, limits="paced") for number in range(6)]
    cluster.claim()
    later(3600, monkeypatch)
    answers = cluster.claim()
    assert sum(answer is RUN for answer in answers.values()) == 1
    waits = sorted(a.after for a in answers.values() if a is not RUN)
    assert waits == pytest.approx([10, 20, 30, 40], abs=1)
    assert len(ids) == 6
    numbers()


def test_both_limits_of_one_key(cluster, monkeypatch):
    first, second = add(1, limits="both"), add(2, limits="both")
    cluster.claim()
    cluster.end(first)
    (answer,) = cluster.claim().values()
    assert isinstance(answer, Later), "there is a place, and it is too soon"
    assert numbers() == {"both": (0, 0, 0, 1)}
    later(10.1, monkeypatch)
    assert cluster.claim() == {second: RUN}
    assert numbers() == {"both": (1, 0, 0, 0)}


# -- changes -----------------------------------------------------------------------------
def test_a_limit_that_was_raised_is_filled(cluster):
    ids = [add(number) for number in range(5)]
    cluster.claim()
    LimitChange.objects.create(name="one", concurrency=3, changed=0)
    cluster.end(ids[0])
    assert cluster.claim() == dict.fromkeys(ids[1:4], RUN)


def test_a_limit_that_was_lowered_stops_nobody(cluster):
    ids = [add(1, limits="two") for _ in range(4)]
    cluster.claim()
    LimitChange.objects.create(name="two", concurrency=1, changed=0)
    cluster.end(ids[0])
    assert cluster.claim() == {}
    cluster.end(ids[1])
    assert cluster.claim() == {ids[2]: RUN}


@pytest.mark.fault("L9")
def test_a_key_that_nobody_fills_is_found_by_the_sweep(cluster):
    first, second = add(1), add(2)
    cluster.claim()
    Hold.objects.all().delete()
    assert cluster.claim() == {}
    qcore_sweep(current.ledger.now())
    assert cluster.claim() == {second: RUN}
    assert first in cluster.running


def test_unused_keys_are_forgotten(cluster, monkeypatch):
    first = add(1)
    cluster.claim()
    cluster.end(first)
    later(40 * 86_400, monkeypatch)
    qcore_sweep(current.ledger.now())
    assert not LimitKey.objects.exists()


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


# -- any order ---------------------------------------------------------------------------
class Walk:
    """Ends, stops, kills, cancelled tasks and time, in any order; a check after each claim."""

    places: ClassVar = {"one": 1, "two:1": 2, "two:2": 2, "other": 1}

    def __init__(self, cluster, pass_time, seed):
        self.cluster, self.pass_time = cluster, pass_time
        self.chance = random.Random(seed)
        self.limits = {}  # the limits of each task, by its id
        self.ended = set()

    def any_running(self):
        return self.chance.choice(sorted(self.cluster.running) or [None])

    def send(self):
        names = self.chance.choice(
            [["one"], ["two"], ["one", "other"], ["two", "other"]]
        )
        left = self.chance.choice([1, 2])
        labels = [f"two:{left}" if name == "two" else name for name in names]
        self.limits[add(left, limits=names)] = labels

    def claim(self):
        self.cluster.claim(self.chance.choice([1, 3, 100]))
        for id, task in self.cluster.dropped.items():
            self.cluster.running[id] = task, 0
            self.end(id)
        self.cluster.dropped.clear()
        for name, places in self.places.items():
            running = [id for id in self.cluster.running if name in self.limits[id]]
            assert len(running) <= places, name

    def end(self, id=None):
        if (id := id or self.any_running()) is not None:
            self.ended.add(id)
            self.cluster.end(id)

    def stop(self):
        if (id := self.any_running()) is not None:
            task, _ = self.cluster.running[id]
            unstarted = self.chance.random() < 0.5
            self.cluster.end(id, outcome="stopped", final=False, unstarted=unstarted)
            current.broker().enqueue(current.signer.sign(task))

    def kill(self):
        """The cluster of a task dies; its package comes again when the lease has ended."""
        if (id := self.any_running()) is not None:
            task, _ = self.cluster.running.pop(id)
            current.broker().enqueue(current.signer.sign(task))

    def cancel(self):
        waits = sorted(set(self.limits) - self.ended - set(self.cluster.running))
        if waits:
            cancel([self.chance.choice(waits)])

    def wait(self):
        self.pass_time(EVERY)
        running = self.cluster.running.values()
        claims = [Claim(task, 1, 0.0, start) for task, start in running]
        with transaction.atomic():
            assert renew(claims, current.ledger.now()) == []
        qcore_sweep(current.ledger.now())

    def go(self, steps):
        kinds = [self.send, self.claim, self.end]
        kinds += [*kinds, self.stop, self.kill, self.cancel, self.wait]
        for _ in range(steps):
            self.chance.choice(kinds)()

    def come_to_rest(self):
        for _ in range(200):
            if set(self.limits) <= self.ended:
                break
            self.claim()
            for id in list(self.cluster.running):
                self.end(id)
            self.wait()
        # what a cluster held that has died, of a task that ended without another run
        self.pass_time(TERM + KEPT + 1)
        self.wait()


@pytest.mark.parametrize("seed", range(4))
def test_in_any_order_no_limit_is_exceeded_and_no_task_is_forgotten(
    cluster, monkeypatch, seed
):
    walk = Walk(cluster, lambda seconds: later(seconds, monkeypatch), seed)
    walk.go(60)
    numbers()
    walk.come_to_rest()
    assert walk.ended == set(walk.limits)
    assert set(numbers().values()) == {(0, 0, 0, 0)}
    assert not WaitingTask.objects.exists()
    assert not OutboxRow.objects.exists()


# -- whom nobody would wake, and what nobody would free ----------------------------------
def test_a_large_batch_that_is_parked_beside_free_places_forgets_nobody(cluster):
    """Their rows of the outbox are written after the free places are given away."""
    running, first = add(1, limits="many"), add(2, limits="many")
    few = OUTSIDE | {"limits": {"many": {"concurrency": 1}}}
    with override_settings(Q_CLUSTER=few):
        cluster.claim()
    Hold.objects.all().delete()  # its worker and its cluster have died long ago
    ids = [add(number, limits="many") for number in range(120)]
    answers = cluster.claim(200)
    assert all(isinstance(answers[id], Park) for id in ids)
    assert WaitingTask.objects.filter(task_id__in=ids, kind="parked").count() == 120
    done = []
    while started := [id for id, answer in cluster.claim(200).items() if answer is RUN]:
        cluster.end(*started)
        done += started
    assert sorted(done) == sorted([first, *ids])
    assert running in cluster.running


def test_a_rate_forgets_the_starts_of_tasks_that_were_cancelled(cluster):
    ids = [add(number, limits="paced") for number in range(50)]
    cluster.claim()
    cancel(ids[1:])
    cluster.claim(200)
    cluster.running |= {id: (cluster.dropped[id], 0) for id in ids[1:]}
    cluster.end(*ids[1:], outcome="cancelled")
    assert numbers() == {"paced": (1, 0, 0, 0)}
    add(1, limits="paced")
    (answer,) = cluster.claim().values()
    assert isinstance(answer, Later)
    assert answer.after <= 10, "not after 49 starts that nobody makes"


def test_a_place_that_was_freed_meanwhile_is_not_held_again(cluster, monkeypatch):
    """The machine was asleep for three minutes; another task has the place by now."""
    first, second = add(1), add(2)
    cluster.claim()
    task, start = cluster.running[first]
    later(TERM + KEPT + 1, monkeypatch)
    claim = Claim(task, 1, 0.0, start)
    with transaction.atomic():
        assert renew([claim], current.ledger.now()) == [first], "nobody has swept"
    qcore_sweep(current.ledger.now())
    assert cluster.claim() == {second: RUN}
    with transaction.atomic():
        assert renew([claim], current.ledger.now()) == [first]
    assert numbers() == {"one": (1, 0, 0, 0)}


def test_a_place_that_is_free_beside_one_that_is_taken_is_found_by_the_sweep(cluster):
    """A deployment has raised the limit while one long task runs."""
    first, *others = (add(number, limits="many") for number in range(4))
    few = OUTSIDE | {"limits": {"many": {"concurrency": 1}}}
    with override_settings(Q_CLUSTER=few):
        assert cluster.claim()[first] is RUN
    last = add(4, limits="many")
    assert isinstance(cluster.claim()[last], Park), (
        "after those that have waited longer"
    )
    qcore_sweep(current.ledger.now())
    assert cluster.claim() == dict.fromkeys([*others, last], RUN)
    numbers()


def test_a_key_with_any_character_is_shown_on_any_database(cluster):
    first = async_task("chores.kind.add", "a\0b\udc80", 1, q_options={"limits": "two"})
    assert cluster.claim() == {first: RUN}
    assert LimitKey.objects.get().label == r"two:a\x00b\udc80"


# -- a rate that was raised ------------------------------------------------------------------
def change(**terms):
    found = {"concurrency": None, "rate": "", "burst": None} | terms
    LimitChange.objects.update_or_create(
        name="paced", defaults=found | {"changed": 0.0}
    )


def planned(ids):
    dues = dict(OutboxRow.objects.values_list("task_id", "due"))
    return [dues[id] for id in ids]


def test_tasks_that_wait_for_a_rate_come_sooner_where_it_is_raised(cluster):
    _, *ids = [add(number, limits="paced") for number in range(4)]
    cluster.claim()
    before = planned(ids)
    change(rate="1/20s")
    assert replan("paced") == 0
    assert planned(ids) == before, "none comes later; it is refused when it comes"
    change(rate="1/s")
    assert replan("paced") == 3
    first, second, third = planned(ids)
    assert (second - first, third - second) == pytest.approx((1, 1), abs=0.01)
    assert third < before[2] - 1
    change(concurrency=9)  # and no rate
    assert replan("paced") == 3
    assert max(planned(ids)) <= current.ledger.now()


def test_a_raised_rate_keeps_the_order_and_its_own_pace(cluster):
    ids = [add(number, limits="paced") for number in range(4)]
    cluster.claim()
    change(rate="1/s")
    assert replan("paced") == 3
    assert replan("paced") == 0, "nothing comes sooner than that"
    late = add(9, limits="paced")
    ran = []
    for _ in range(8):
        Clock.offset += 1.1
        ran += [id for id, answer in cluster.claim().items() if answer is RUN]
    assert ran == [*ids[1:], late]
    assert LimitKey.objects.get(name="paced").later == 0


def test_a_limit_that_only_its_tasks_know_is_not_planned_anew(cluster):
    own = Limit("own", rate="1/10s")
    for number in range(2):
        add(number, limits=own)
    cluster.claim()
    assert replan("own") == 0


@pytest.fixture
def deploy(monkeypatch):
    """Sweep for the first time as a new cluster does, with other numbers of a limit."""

    def deploy(name, **words):
        monkeypatch.setattr(pacing._Heeded, "limits", None)
        changed = {"limits": {**LIMITS, name: LIMITS[name] | words}}
        with override_settings(Q_CLUSTER=OUTSIDE | changed):
            qcore_sweep(current.ledger.now())

    return deploy


def test_a_rate_that_the_settings_raise_brings_tasks_forward(cluster, deploy):
    _, *ids = [add(number, limits="paced") for number in range(4)]
    cluster.claim()
    before = planned(ids)
    deploy("paced")
    assert planned(ids) == before, "nothing has changed"
    deploy("paced", rate="1/20s")
    assert planned(ids) == before
    change(rate="1/12s")
    deploy("paced", rate="1/s")
    assert planned(ids) == before, "what somebody has set wins"
    LimitChange.objects.all().delete()
    deploy("paced", rate="1/s")
    first, second, third = planned(ids)
    assert (second - first, third - second) == pytest.approx((1, 1), abs=0.01)
    assert third < before[2] - 1


def test_places_that_the_settings_add_are_filled(cluster, deploy):
    """Not only when the task ends that has the one place."""
    _, second, third, _ = [add(number) for number in range(4)]
    cluster.claim()
    assert len(cluster.running) == 1
    deploy("one")
    assert numbers() == {"one": (1, 0, 3, 0)}
    deploy("one", concurrency=3)
    assert numbers() == {"one": (1, 2, 1, 0)}
    with override_settings(
        Q_CLUSTER=OUTSIDE | {"limits": {**LIMITS, "one": {"concurrency": 3}}}
    ):
        assert cluster.claim() == {second: RUN, third: RUN}


def test_settings_are_heeded_once(cluster, deploy, django_assert_max_num_queries):
    deploy("paced")
    now = current.ledger.now()
    with (
        django_assert_max_num_queries(0),
        override_settings(Q_CLUSTER=OUTSIDE | {"limits": dict(LIMITS)}),
    ):
        assert pacing.heed_settings(now) == pacing.EVERY


# -- a parked task without its place in the line ----------------------------------------------
def test_a_parked_task_that_is_in_no_line_is_found(cluster):
    first, second, third = add(1), add(2), add(3)
    cluster.claim()
    WaitingTask.objects.filter(task_id=third).delete()
    qcore_sweep(now=current.ledger.now())
    assert status(second) == "parked"
    assert isinstance(cluster.claim()[third], Park), "it waits in its turn again"
    cluster.end(first)
    assert cluster.claim() == {second: RUN}
    cluster.end(second)
    assert cluster.claim() == {third: RUN}
