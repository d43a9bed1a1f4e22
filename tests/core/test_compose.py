"""Iter, Chain and AsyncTask, and looking up what became of tasks."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import chores.kind  # noqa: F401 - the calls of modules that are loaded are checked
import pytest
from msgspec import UNSET

from qcore.errors import EnqueueError
from qcore.tasks import (
    AsyncTask,
    Chain,
    Iter,
    async_chain,
    async_iter,
    async_task,
    count_group,
    count_group_cached,
    delete,
    delete_cached,
    delete_group,
    delete_group_cached,
    fetch,
    fetch_cached,
    fetch_group,
    fetch_group_cached,
    queue_size,
    resend,
    result,
    result_cached,
    result_group,
    result_group_cached,
)
from qcore.tasks import waiting as waits
from qcore.tasks.execute import decode
from qcore.testing.drain import drain, enqueued
from qcore.testing.speed import in_time

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]


# -- async_iter, Iter ----------------------------------------------------------------
def test_an_iter_sends_one_task_for_each_call():
    group = async_iter("chores.kind.add", [1, (2, 3), [4, 5]])
    tasks = enqueued()
    assert [decode(task)[0] for task in tasks] == [[1], [2, 3], [4, 5]]
    assert [(task.iter_index, task.iter_count) for task in tasks] == [
        (0, 3), (1, 3), (2, 3),
    ]  # fmt: skip
    assert {task.group for task in tasks} == {group}
    assert result(group) is None
    drain()
    assert result(group) == [1, 5, 9]


def test_keywords_go_to_every_call():
    group = async_iter("chores.kind.add", [1, 2], right=10)
    drain()
    assert result(group) == [11, 12]


def test_an_iter_is_sent_whole_or_not_at_all():
    with pytest.raises(EnqueueError):
        async_iter("chores.kind.echo", [1, object()])
    assert queue_size() == 0


def test_an_iter_of_nothing_has_its_result_at_once():
    group = async_iter("chores.kind.add", [])
    assert queue_size() == 0
    assert result(group) == []
    assert fetch(group).success


def test_iter_object():
    calls = Iter("chores.kind.add", [(1, 1)])
    assert calls.append(2, 2) == 2
    assert calls.append(3) == 3
    assert (calls.result(), calls.fetch(), calls.length()) == (None, None, 3)
    assert calls.run() == calls.id
    drain()
    assert calls.result() == [2, 4, 3]
    assert calls.fetch().success
    calls.append(4)
    assert not calls.started
    assert calls.result() is None, "it is another iter now"


def test_iter_without_a_function():
    with pytest.raises(EnqueueError, match="Iter has no function; pass one"):
        Iter().run()


# -- async_chain, Chain --------------------------------------------------------------
def test_a_chain_sends_its_first_link_only():
    group = async_chain(["chores.kind.add_nothing", ("chores.kind.add", (1,))])
    (task,) = enqueued()
    assert (task.func, task.links, task.group) == ("chores.kind.add_nothing", 1, group)
    drain()
    assert result_group(group) == [0, 1]


# -- results that are passed on ------------------------------------------------------
ADDING = [
    ("chores.kind.add", (1, 2)),
    ("chores.kind.add", (10,)),
    ("chores.kind.takes_anything", ("more",), {"key": 1}),
]


def test_each_link_takes_the_result_of_the_one_before():
    group = async_chain(ADDING, pass_results=True)
    drain()
    assert result_group(group) == [3, 13, [[13, "more"], {"key": 1}]]


def test_a_chain_that_runs_at_once_passes_results_too(settings):
    group = async_chain(ADDING, pass_results=True, sync=True)
    assert result_group(group)[:2] == [3, 13]


def test_a_chain_object_passes_results():
    chain = Chain(pass_results=True)
    chain.append("chores.kind.add", 1, 2)
    chain.append("chores.kind.add", 3)
    chain.run()
    drain()
    assert chain.result() == [3, 6]


def test_a_link_with_options_of_its_own_passes_its_result():
    group = async_chain(
        [("chores.kind.add", (1, 2)), "chores.decorated.double", ("chores.kind.add",)],
        pass_results=True,
    )
    drain()
    assert result_group(group) == [3, 6, 6]


def test_a_failed_link_that_is_sent_again_has_the_result_and_passes_its_own():
    links = [("chores.kind.add", (-8, 0)), "math.sqrt", ("chores.kind.add", (1,))]
    group = async_chain(links, pass_results=True)
    drain(raises=False)
    (failed,) = [record for record in fetch_group(group) if not record.success]
    assert failed.args == (-8,)
    resend(failed.id)
    (task,) = enqueued()
    assert (task.passes_result, decode(task)) == (True, ([-8], {}))


def test_a_result_that_cannot_be_stored_fails_its_link():
    """The note in its place is nothing to compute with."""
    links = ["builtins.object", "chores.kind.echo"]
    group = async_chain(links, pass_results=True)
    drain(raises=False)
    (record,) = fetch_group(group)
    assert record.outcome == "discarded"
    assert "the next link of the chain takes its result" in record.result


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (["chores.kind.add_nothing", "chores.kind.add_nothing"], "too many pos"),
        (["chores.kind.add", "chores.kind.echo"], "'left'"),
        (["chores.kind.add_nothing", ("chores.kind.add", (1, 2))], "too many pos"),
    ],
)
def test_links_that_cannot_take_a_result_are_refused_whole(chain, message):
    with pytest.raises(EnqueueError, match=message):
        async_chain(chain, pass_results=True)
    assert queue_size() == 0


def test_pass_results_is_yes_or_no():
    with pytest.raises(EnqueueError, match="pass_results is 'yes'"):
        async_chain(ADDING, pass_results="yes")


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ([], "empty chain"),
        ([7], "a link of a chain is 7; expected a function, its path, or a tuple"),
        ([()], r"a link of a chain is \(\)"),
        (["chores.kind.add_nothing", ("chores.kind.ad",)], "did you mean 'add'"),
        (["chores.kind.add_nothing", ("chores.kind.add", ())], "'left'"),
        (["chores.kind.add_nothing", ("chores.kind.echo", (object(),))], "cannot send"),
    ],
)
def test_a_chain_is_refused_whole(chain, message):
    with pytest.raises(EnqueueError, match=message):
        async_chain(chain)
    assert queue_size() == 0


@pytest.mark.fault("G16")
def test_a_chain_that_comes_back_to_itself_is_refused():
    """A chain is sent whole, so there is nothing else that a link could lead back to."""
    links = [("chores.kind.echo", (1,))]
    links.append(("chores.kind.echo", (links,)))
    with pytest.raises(EnqueueError, match="holds itself"):
        async_chain(links)
    assert queue_size() == 0


def test_chain_object():
    chain = Chain()
    assert chain.append("chores.kind.add", 1) == 1
    chain.append("chores.kind.add", 2, right=3)
    assert (chain.result(), chain.fetch(), chain.current()) == (None, None, None)
    group = chain.run()
    assert chain.current() == 1
    drain()
    assert chain.result() == [1, 5]
    assert [record.group for record in chain.fetch()] == [group, group]
    assert chain.current() == 3, "both are done"
    chain.append("chores.kind.add", 9)
    assert not chain.started
    assert count_group(group) == 0, "it begins anew"


# -- AsyncTask -------------------------------------------------------------------------
def test_async_task_object():
    task = AsyncTask("chores.kind.add", 1, right=2, group="g", save=True)
    assert (task.result(), task.fetch(), task.result_group()) == (None, None, [])
    task_id = task.run()
    assert task.id == task_id
    drain()
    assert task.result() == 3
    assert task.fetch().id == task_id
    assert task.result_group() == [3]
    assert len(task.fetch_group()) == 1


def test_changing_an_option_begins_anew():
    task = AsyncTask("chores.kind.add", 1)
    task.run()
    drain()
    first = task.id
    task.group = "g"
    assert not task.started
    assert task.result() is None
    task.run()
    drain()
    assert task.id != first
    assert task.fetch().group == "g"


def test_none_lifts_the_timeout_and_leaves_other_options_as_they_are():
    AsyncTask("chores.kind.add", 1, timeout=None, save=None).run()
    (task,) = enqueued()
    assert task.options.timeout is None
    assert task.options.save is UNSET


def test_options_and_keywords_of_the_same_names():
    task = AsyncTask("chores.kind.takes_group", q_options={"group": "label"})
    task.kwargs["group"] = "argument"
    task.run()
    drain()
    assert task.result() == "argument"
    assert task.fetch().group == "label"


@pytest.mark.parametrize(
    "option", ["broker", "sync", "save", "hook", "group", "cached"]
)
def test_options_are_attributes(option):
    task = AsyncTask("chores.kind.add", 1)
    setattr(task, option, None)
    assert getattr(task, option) is None


# -- looking up --------------------------------------------------------------------------
@pytest.fixture
def group():
    """Two successes and a failure of one group, and what became of them."""
    for number in (1, 2):
        async_task("chores.kind.add", number, group="g", task_name=f"add {number}")
    async_task("chores.kind.fail", group="g", task_name="fail")
    counts = drain(raises=False)
    assert (counts.succeeded, counts.failed) == (2, 1)
    return "g"


def test_by_name_and_by_id(group):
    record = fetch("add 2")
    assert record.result == result("add 2") == result(record.id) == 2
    assert fetch("nothing of the kind") is None


def test_groups(group):
    assert result_group(group) == [1, 2]
    assert len(result_group(group, failures=True)) == 3
    assert [record.name for record in fetch_group(group)] == ["add 1", "add 2", "fail"]
    assert len(fetch_group(group, failures=False)) == 2
    assert (count_group(group), count_group(group, failures=True)) == (3, 1)


def test_delete(group):
    assert delete("add 1")
    assert not delete("add 1")
    assert result("add 1") is None
    assert count_group(group) == 2


def test_delete_group(group):
    assert delete_group(group) == 3
    assert count_group(group) == 0
    assert result("add 1") == 1, "only the label has gone"


def test_delete_group_with_its_tasks(group):
    assert delete_group(group, tasks=True) == 3
    assert fetch("add 1") is None


def test_cached():
    ids = [
        async_task("chores.kind.add", n, group="c", cached=True, task_name=f"c {n}")
        for n in (1, 2)
    ]
    drain()
    assert fetch(ids[0]) is None, "not in the database"
    assert result(ids[0], cached=True) == result_cached(ids[0]) == 1
    assert fetch_cached("c 1").id == ids[0]
    assert result_group_cached("c") == [1, 2]
    assert len(fetch_group_cached("c")) == count_group_cached("c") == 2
    assert delete_cached(ids[0])
    assert result_cached(ids[0]) is None
    assert delete_group_cached("c") == 1
    assert result_group_cached("c") == []


# -- waiting -----------------------------------------------------------------------------
def test_no_wait_asks_once(monkeypatch):
    clock = SimpleNamespace(
        monotonic=time.monotonic, sleep=lambda _: pytest.fail("it slept")
    )
    monkeypatch.setattr(waits, "time", clock)
    assert result("nothing") is None


def test_a_wait_that_is_in_vain_takes_its_time():
    at = time.monotonic()
    assert result("nothing", wait=50) is None
    assert time.monotonic() - at >= 0.05
    assert in_time(time.monotonic() - at, 5)


def test_a_wait_ends_with_the_answer():
    answers = iter([None] * 5 + ["now"])
    assert waits.wait_for(lambda: next(answers), 60_000) == "now"


def test_waiting_for_ever_ends_with_the_answer():
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    assert waits.wait_for(lambda: event.is_set() or None, -1) is True


def test_a_falsy_answer_is_an_answer():
    assert waits.wait_for(lambda: 0, 60_000) == 0


def test_waiting_for_a_count(group):
    assert len(result_group(group, failures=True, wait=50, count=3)) == 3
    at = time.monotonic()
    assert len(fetch_group(group, wait=50, count=9)) == 3, "what there is"
    assert time.monotonic() - at >= 0.05
