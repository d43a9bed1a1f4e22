"""What comes after a task: hooks, chains, iters, groups."""

from __future__ import annotations

import pytest
from chores.ledger import wait_for

from qcore.tasks import (
    async_chain,
    async_iter,
    async_task,
    count_group,
    fetch,
    fetch_group,
    result,
    result_group,
)
from qcore.tasks.calls import follow_on_id

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cluster(_start):
    return _start(max_attempts=1)


def test_a_hook_is_given_the_finished_task(cluster, ledger, key):
    async_task("chores.kind.add", 1, hook="chores.kind.hook", group=key, task_name="n")
    ledger.wait(key, "success n")


def test_a_hook_is_called_for_a_failure_too(cluster, ledger, key):
    async_task("chores.kind.fail", hook="chores.kind.hook", group=key, task_name="n")
    ledger.wait(key, "failure n")


@pytest.mark.fault("B23")
def test_a_hook_that_raises_changes_nothing(cluster, ledger, key):
    task_id = async_task(
        "chores.kind.add", 1, hook="chores.rude.raising_hook", group=key
    )
    ledger.wait(key, "hook")
    cluster.wait_idle()
    assert fetch(task_id).success
    assert f"hook chores.rude.raising_hook of chores.kind.add id={task_id} failed" in (
        cluster.log
    )


def test_a_hook_that_kills_its_worker_is_tried_twice(cluster, ledger, key):
    task_id = async_task(
        "chores.kind.record", key, hook="chores.rude.killing_hook", group=key
    )
    ledger.wait(key, "hook", 2)
    cluster.wait_idle()
    assert len(ledger.entries(key, "hook")) == 2
    assert len(ledger.entries(key, "ran")) == 1, "the task itself is not run again"
    assert fetch(task_id).success


def test_a_chain_runs_in_order(cluster, ledger, key):
    links = [("chores.kind.record", (key, number)) for number in range(4)]
    group = async_chain(links)
    assert result_group(group, wait=60_000, count=4) == [0, 1, 2, 3]
    moments = [entry.at for entry in ledger.entries(key)]
    assert moments == sorted(moments)
    assert len(moments) == 4


def test_a_chain_passes_results_from_worker_to_worker(cluster, key):
    links = [("chores.kind.add", (1, 2)), *[("chores.kind.add", (10,))] * 3]
    group = async_chain(links, pass_results=True)
    assert result_group(group, wait=60_000, count=4) == [3, 13, 23, 33]


@pytest.mark.fault("G17")
def test_a_chain_stops_at_a_failure(cluster, ledger, key):
    group = async_chain(
        [
            ("chores.kind.record", (key,)),
            "chores.kind.fail",
            ("chores.kind.record", (key,)),
        ]
    )
    records = fetch_group(group, wait=60_000, count=2)
    assert [record.success for record in records] == [True, False]
    cluster.wait_idle()
    assert len(ledger.entries(key)) == 1
    assert count_group(group) == 2


def test_each_link_of_a_chain_calls_the_hook(cluster, ledger, key):
    """Once, in no certain order: no link waits for the hook of the one before."""
    async_chain(
        [("chores.kind.add", (1,)), ("chores.kind.echo", (1,))],
        group=key,
        hook="chores.kind.hook",
    )
    wait_for(lambda: ledger.entries(key)[1:])
    cluster.wait_idle()
    entries = ledger.entries(key)
    called = sorted(entry.event.split("-")[0] for entry in entries)
    assert called == ["success add", "success echo"]


def test_an_iter_keeps_the_order_of_its_arguments(cluster):
    # the first sleeps longest
    calls = [("order", 0.05 * number) for number in range(5, 0, -1)]
    joined = async_iter(
        "chores.kind.add_slowly", [(n, s) for n, (_, s) in enumerate(calls)]
    )
    assert result(joined, wait=60_000) == [0, 1, 2, 3, 4]


def test_a_failure_in_an_iter_is_visible(cluster):
    joined = async_iter("chores.kind.fail_if_odd", [0, 1, 2])
    record = fetch(joined, wait=60_000)
    assert not record.success
    assert "ValueError: 1 is odd" in str(record.result)


def test_what_follows_an_iter_finds_its_list(cluster):
    calls = [(n, n) for n in range(5)]
    joined = async_iter("chores.kind.add", calls, on_complete="chores.kind.look_up")
    assert result(follow_on_id(joined), wait=60_000) == [0, 2, 4, 6, 8]


def test_an_iter_of_many_calls_joins_once(cluster):
    joined = async_iter("chores.kind.add", [(n, n) for n in range(200)])
    assert result(joined, wait=60_000) == [2 * n for n in range(200)]
    assert count_group(joined) == 1


def test_a_group_counts_its_tasks(cluster, key):
    for number in range(3):
        async_task("chores.kind.echo", number, group=key)
    async_task("chores.kind.fail", group=key)
    assert len(fetch_group(key, wait=60_000, count=4)) == 4
    assert (count_group(key), count_group(key, failures=True)) == (4, 1)
    assert sorted(result_group(key)) == [0, 1, 2]
