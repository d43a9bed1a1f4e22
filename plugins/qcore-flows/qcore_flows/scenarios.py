"""What batches, graphs and durable tasks promise on every broker: the contract of brokers plays it.

Each function is one promise. It gets a stage with a broker and this plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore import task
from qcore.tasks import cancel, fetch, status

from . import Batch, Flow, emit, spawn, step, wait_all, wait_event

if TYPE_CHECKING:
    from qcore.testing.contracts.brokers.stage import Stage

_FUNC, _FAILS = "math.sqrt", "operator.truediv"

#: What the steps of the durable task of a scenario have done.
_done: list[str] = []


def a_batch_calls_back_once(stage: Stage) -> None:
    """Its callback is sent when the last member has ended, and once, whatever comes twice."""
    with Batch("scenario") as batch:
        batch.on_success("builtins.len", "done")
        ids = [batch.add(_FUNC, number) for number in range(3)]
    stage.acknowledges = False
    stage.until_ended(*ids)
    stage.acknowledges = True
    stage.until(
        "copies were dropped", lambda: all("dropped" in stage.of(i) for i in ids)
    )
    stage.until("the callback ran", lambda: _others(stage, ids))
    stage.until_empty()
    (callback,) = _others(stage, ids)
    assert stage.runs(callback) == 1
    assert [stage.runs(id) for id in ids] == [1, 1, 1]


def a_batch_counts_members_that_fail_and_are_cancelled(stage: Stage) -> None:
    """However members end, the batch has an end."""
    with Batch("scenario") as batch:
        batch.on_complete("builtins.len", "done")
        bad = batch.add(_FAILS, 1, 0)
        gone = batch.add(_FUNC, 4)
        cancel(gone)
    stage.until_ended(bad, gone)
    stage.until("the callback ran", lambda: _others(stage, [bad, gone]))
    stage.until_empty()
    assert "failure" in stage.of(bad)
    assert "cancelled" in stage.of(gone)
    assert len(_others(stage, [bad, gone])) == 1


def a_graph_runs_in_its_order(stage: Stage) -> None:
    """A node runs when those that it waits for have ended, and takes their results."""
    with Flow("scenario") as flow:
        first = flow.add(_FUNC, 16)
        second = flow.add("operator.add", first, 1)
        flow.add("operator.mul", second, second)
    stage.until("the graph has ended", lambda: len(_succeeded(stage)) == 3)
    records = [fetch(id) for id in _succeeded(stage)]
    assert [record.result for record in records if record] == [4.0, 5.0, 25.0]
    stage.until_empty()


@task(durable=True)  # type: ignore[call-overload, untyped-decorator]  # its option is of this plugin
def journey(key: str) -> list[str]:
    """Do a step, wait for an event, and do another step."""
    first = step("first", _do, f"{key} first")
    answer = wait_event("answer", f"scenario:{key}")
    return [first, answer, step("second", _do, f"{key} second")]


def _do(name: str) -> str:
    _done.append(name)
    return name


def a_durable_task_waits_outside_of_the_broker(stage: Stage) -> None:
    """It keeps no delivery while it waits for an event, and no step of it is done twice."""
    _done.clear()
    key = stage.broker.queue
    stage.acknowledges = False
    id = journey.enqueue(key)
    stage.until("it waits for the event", lambda: "suspended" in stage.of(id))
    stage.acknowledges = True
    stage.until("the copy was dropped", lambda: "dropped" in stage.of(id))
    stage.until_empty()
    assert status(id) == "suspended"
    emit(f"scenario:{key}", "yes")
    stage.until_ended(id)
    assert "success" in stage.of(id)
    assert _done == [f"{key} first", f"{key} second"]
    stage.until_empty()


@task(durable=True)  # type: ignore[call-overload, untyped-decorator]  # its option is of this plugin
def delegation(key: str) -> list[float | None]:
    """Spawn a task that succeeds and one that fails, wait for both, and do a step."""
    ids = [spawn("root", _FUNC, 16), spawn("bad", _FAILS, 1, 0)]
    found: list[float | None] = wait_all("both", ids, on_failure="go on")
    step("after", _do, f"{key} after")
    return found


def a_durable_task_waits_for_tasks_that_it_has_spawned(stage: Stage) -> None:
    """It spawns each of them once and keeps no delivery, whatever comes twice."""
    _done.clear()
    key = stage.broker.queue
    stage.acknowledges = False
    id = delegation.enqueue(key)
    stage.until("it waits for its tasks", lambda: "suspended" in stage.of(id))
    stage.until("both have ended", lambda: len(_ended(stage) - {id}) == 2)
    good, bad = sorted(_ended(stage) - {id}, key=lambda one: "failure" in stage.of(one))
    stage.acknowledges = True
    stage.until_ended(id)
    stage.until(
        "the copies were dropped",
        lambda: all("dropped" in stage.of(one) for one in (id, good, bad)),
    )
    stage.until_empty()
    assert _ended(stage) == {id, good, bad}
    assert "success" in stage.of(id)
    assert "failure" in stage.of(bad)
    record = fetch(id)
    assert record is not None
    assert record.result == [4.0, None]
    assert [stage.runs(one) for one in (good, bad)] == [1, 1]
    assert _done == [f"{key} after"]


def _ended(stage: Stage) -> set[str]:
    return {id for id, word in stage.history if word in ("success", "failure")}


def _others(stage: Stage, ids: list[str]) -> set[str]:
    """Return the tasks that have ended beside these, such as callbacks."""
    return set(_succeeded(stage)) - set(ids)


def _succeeded(stage: Stage) -> list[str]:
    return [id for id, word in stage.history if word == "success"]
