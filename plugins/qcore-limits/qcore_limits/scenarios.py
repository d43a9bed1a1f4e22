"""What limits and unique tasks promise on every broker: the contract of brokers plays it.

Each function is one promise. It gets a stage with a broker and this plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.tasks import async_task, cancel, status

from . import Limit, Unique

if TYPE_CHECKING:
    from qcore.testing.contracts.brokers.stage import Stage

_FUNC = "math.sqrt"


def a_limit_lets_one_run_at_a_time(stage: Stage) -> None:
    """The others leave the broker, and come one by one, in the order in which they were sent."""
    stage.keeps_running = True
    options = {"limits": Limit("scenario", concurrency=1)}
    ids = [async_task(_FUNC, number, q_options=options) for number in range(3)]
    for number, id in enumerate(ids):
        stage.until(f"task {number} runs", lambda id=id: id in stage.running)
        stage.until("the others wait", lambda: all(map(stage.of, ids)))
        assert list(stage.running) == [id]
        assert [status(one) for one in ids[number + 1 :]] == ["parked"] * (2 - number)
        stage.end(id)
    assert [stage.runs(id) for id in ids] == [1, 1, 1]
    stage.until_empty()


def a_copy_of_a_running_task_takes_no_second_place(stage: Stage) -> None:
    """The lease of a running task ends: its copy waits, and so does the next task."""
    stage.keeps_running = True
    options = {"limits": Limit("scenario", concurrency=1)}
    first, second = (async_task(_FUNC, n, q_options=options) for n in range(2))
    stage.until("the first runs", lambda: first in stage.running)
    stage.until("its copy came", lambda: len(stage.of(first)) > 1)
    assert set(stage.of(first)) == {"Run", "Release"}
    assert stage.runs(second) == 0
    stage.end(first)
    stage.until("the second runs", lambda: second in stage.running)
    stage.end(second)
    # the copy is given back for longer than a test waits for it
    assert (stage.runs(first), stage.runs(second)) == (1, 1)


def a_parked_task_that_is_cancelled_frees_its_place_in_the_line(stage: Stage) -> None:
    """The task behind it is the next one."""
    stage.keeps_running = True
    options = {"limits": Limit("scenario", concurrency=1)}
    first, second, third = (async_task(_FUNC, n, q_options=options) for n in range(3))
    stage.until("two wait", lambda: stage.of(second) and stage.of(third))
    cancel(second)
    stage.until("it has ended", lambda: "cancelled" in stage.of(second))
    stage.end(first)
    stage.until("the third runs", lambda: third in stage.running)
    stage.end(third)
    assert stage.runs(second) == 0
    stage.until_empty()


def a_rate_sends_later_what_is_too_much(stage: Stage) -> None:
    """The second task waits in the outbox, and not in the broker."""
    options = {"limits": Limit("scenario", rate="1/h")}
    first, second = (async_task(_FUNC, n, q_options=options) for n in range(2))
    stage.until("both were claimed", lambda: stage.of(first) and stage.of(second))
    assert stage.of(first)[:2] == ["Run", "success"]
    assert stage.of(second)[0] == "Later"
    assert stage.runs(second) == 0
    assert status(second) == "scheduled"
    stage.until_empty()


def a_unique_task_is_not_sent_twice(stage: Stage) -> None:
    """Its end frees the key, also where the acknowledgement of that end is lost."""
    first = async_task(_FUNC, 4, q_options={"unique": True})
    assert async_task(_FUNC, 4, q_options={"unique": True}) == first
    stage.acknowledges = False
    stage.until_ended(first)
    stage.acknowledges = True
    second = async_task(_FUNC, 4, q_options={"unique": True})
    assert second != first
    stage.until_ended(second)
    stage.until("the copy was dropped", lambda: "dropped" in stage.of(first))
    assert (stage.runs(first), stage.runs(second)) == (1, 1)
    stage.until_empty()


def a_unique_task_that_was_replaced_never_runs(stage: Stage) -> None:
    """It ends at its claim."""
    unique = Unique("order 17", during="waiting", on_conflict="replace")
    old, new = (async_task(_FUNC, n, q_options={"unique": unique}) for n in range(2))
    stage.until_ended(old, new)
    assert stage.of(old)[:2] == ["Drop", "replaced"]
    assert stage.of(new)[:2] == ["Run", "success"]
    stage.until_empty()
