"""Limits that are changed while tasks wait: by hand and by the settings."""

from __future__ import annotations

import pytest
from django.test import override_settings
from support.limited import LIMITS, OUTSIDE, add, numbers

from qcore import RUN
from qcore.ledger.clock import Clock
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore_limits import Limit, pacing, qcore_sweep
from qcore_limits.models import LimitChange, LimitKey
from qcore_limits.pacing import replan

pytestmark = pytest.mark.usefixtures("queue")


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
