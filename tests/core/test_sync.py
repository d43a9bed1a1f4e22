"""Tasks that run in their caller: ``sync``."""

from __future__ import annotations

import os

import pytest
from chores.ledger import VARIABLE, Ledger
from django.test import override_settings

from qcore.errors import EnqueueError, TaskError, TaskNotFound, TaskTimeout
from qcore.runtime import current
from qcore.signals import post_execute_in_worker, pre_execute
from qcore.tasks import (
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    fetch,
    fetch_group,
    result,
    result_group,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_inline")]


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    path = tmp_path / "ledger"
    monkeypatch.setenv(VARIABLE, str(path))
    return Ledger(path)


def test_it_runs_at_once_and_is_stored():
    task_id = async_task("chores.kind.add", 1, right=2, task_name="sum")
    assert result(task_id) == 3
    record = fetch("sum")
    assert (record.id, record.outcome, record.attempt_count) == (task_id, "success", 1)
    assert record.kwargs == {"right": 2}


def test_a_failure_is_stored_and_raised():
    with pytest.raises(ValueError, match="too bad"):
        async_task("chores.kind.fail", "too bad", task_name="failed")
    assert fetch("failed").result.startswith("ValueError: too bad\n")


@pytest.mark.parametrize("function", ["fail", "fail_async"])
def test_the_traceback_of_a_failure_begins_in_the_task(function):
    with pytest.raises(ValueError, match="too bad"):
        async_task(f"chores.kind.{function}", "too bad", task_name="failed")
    places = [
        line for line in fetch("failed").result.splitlines() if '  File "' in line
    ]
    assert len(places) == 1
    assert 'kind.py", line ' in places[0]
    assert places[0].endswith(f" in {function}")


def test_the_traceback_of_what_never_began_is_whole():
    with pytest.raises(TaskNotFound):
        async_task("no_such_module.task", task_name="lost")
    assert "in _call" in fetch("lost").result


def test_the_option_wins_over_the_setting():
    with override_settings(Q_CLUSTER={"sync": False}):
        assert result(async_task("chores.kind.add", 1, sync=True)) == 1


def test_one_finds_what_production_would():
    """The arguments travel, and what cannot travel is refused."""
    with pytest.raises(EnqueueError):
        async_task("chores.kind.echo", object())
    given = [[1], (2,)]
    came = result(async_task("chores.kind.echo", given))
    assert came == given
    assert came is not given


def test_a_timeout():
    with pytest.raises(TaskTimeout, match=r"its timeout of 0\.05 s"):
        async_task("chores.kind.doze", 20, timeout=0.05, task_name="slow")
    assert fetch("slow").outcome == "timeout"


def test_sys_exit_does_not_end_the_caller():
    with pytest.raises(TaskError, match=r"called sys.exit\(3\)"):
        async_task("chores.rude.call_exit", 3)


def test_a_coroutine(ledger):
    assert result(async_task("chores.kind.nap_async", "key", 0.01)) == "key"


def test_a_hook(ledger):
    async_task("chores.kind.add", 1, hook="chores.kind.hook", group="g", task_name="n")
    assert [entry.event for entry in ledger.entries("g")] == ["success n"]


def test_a_hook_that_raises_is_logged(ledger, caplog):
    async_task("chores.kind.add", 1, hook="chores.rude.raising_hook", group="g")
    assert "hook chores.rude.raising_hook of chores.kind.add" in caplog.text


def test_a_chain(ledger):
    group = async_chain([("chores.kind.record", ("key", n)) for n in range(3)])
    assert result_group(group) == [0, 1, 2]
    assert len(ledger.entries("key")) == 3


def test_a_chain_stops_at_a_failure():
    with pytest.raises(ValueError, match="as it was told"):
        async_chain(["chores.kind.fail", ("chores.kind.add", (1,))], group="g")
    assert [record.success for record in fetch_group("g")] == [False]


def test_an_iter():
    assert result(async_iter("chores.kind.add", [(1, 1), (2, 2)])) == [2, 4]


def test_many():
    ids = async_task_many("chores.kind.add", [(1,), (2,)])
    assert [result(id) for id in ids] == [1, 2]


def test_nothing_is_saved_where_that_is_said():
    assert fetch(async_task("chores.kind.add", 1, save=False)) is None


def test_signals_of_the_worker():
    seen = []

    def before(sender, func, task, **_):
        seen.append(("before", func.__name__, task.func))

    def after(sender, func, task, error, **_):
        seen.append(("after", func.__name__, type(error).__name__))

    pre_execute.connect(before)
    post_execute_in_worker.connect(after)
    try:
        async_task("chores.kind.add", 1)
        with pytest.raises(ValueError, match="as it was told"):
            async_task("chores.kind.fail")
    finally:
        pre_execute.disconnect(before)
        post_execute_in_worker.disconnect(after)
    assert seen == [
        ("before", "add", "chores.kind.add"),
        ("after", "add", "NoneType"),
        ("before", "fail", "chores.kind.fail"),
        ("after", "fail", "ValueError"),
    ]


def test_a_task_within_a_task():
    """The inner one runs at once, and does not end the count of the outer one."""
    outer = async_task("chores.kind.send_another", 3)
    depths = result(outer)
    assert depths == [0, 0]
    assert current.conf.sync


@pytest.mark.fault("B25")
@pytest.mark.parametrize("how", ["returns", "raises", "exits"])
def test_a_child_that_comes_back_ends_in_the_caller_too(ledger, how):
    owner = os.getpid()
    try:
        task_id = async_task("chores.leavings.fork_back", "sync", how)
    finally:
        if os.getpid() != owner:
            os._exit(99)  # this test has failed, and must not go on twice
    code = {"returns": 0, "raises": 1, "exits": 7}[how]
    assert result(task_id) == f"exit code {code}"
