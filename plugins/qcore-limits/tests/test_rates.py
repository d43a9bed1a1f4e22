"""Rates: starts that are spread, bursts, and starts that nobody makes."""

from __future__ import annotations

import pytest
from support.limited import add, later, numbers

from qcore import RUN
from qcore.features import Later
from qcore.tasks import cancel, status

pytestmark = pytest.mark.usefixtures("queue")


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
