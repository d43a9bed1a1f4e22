"""What nobody would wake or free is found by the sweep."""

from __future__ import annotations

import pytest
from django.test import override_settings
from support.limited import OUTSIDE, add, later, numbers

from qcore import RUN
from qcore.features import Park
from qcore.runtime import current
from qcore.tasks import status
from qcore_limits import keys, qcore_sweep
from qcore_limits.models import Hold, LimitKey, WaitingTask
from qcore_limits.places import KEPT, TERM

pytestmark = pytest.mark.usefixtures("queue")


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
