"""Who holds a place, how long, and what a copy of a task is told."""

from __future__ import annotations

import pytest
from django.db import transaction
from support.limited import add, later, numbers

from qcore import RUN, RUN_HOLDING, Claim
from qcore.features import Park, Release
from qcore.ledger.relay import Relay
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.testing.drain import enqueued
from qcore_limits import Limit, qcore_sweep
from qcore_limits.holding import EVERY, renew
from qcore_limits.models import Hold, LimitChange, LimitKey
from qcore_limits.places import KEPT, RESERVED, TERM
from qcore_limits.unique import LONGEST

pytestmark = pytest.mark.usefixtures("queue")


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
