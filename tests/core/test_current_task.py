"""The task that code runs in: for the task itself, and for the log."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import io
import json
import logging
import logging.config
import threading
import time

import pytest
from documents.blocks import ROOT, blocks

from qcore.logs import TaskFilter
from qcore.running import RUNNING
from qcore.tasks import async_task, current_task
from qcore.tasks.calls import build
from qcore.tasks.execute import execute
from qcore.testing.drain import perform

logger = logging.getLogger("shop.orders")

#: What the tasks below have seen.
seen = []


def look():
    task = current_task()
    seen.append((task.id, task.name, task.func, task.queue, task.group, task.attempt))
    seen.append((task.max_attempts, task.deadline, task.time_left()))


def look_inside():
    look()
    async_task(look, sync=True, q_options={"max_attempts": 7})
    look()


async def look_async():
    await asyncio.sleep(0)
    look()
    await asyncio.to_thread(look)


def write(text):
    logger.info("order %s", text)


def write_and_fail():
    logger.info("soon")
    raise ValueError("as it was told")


def look_in_threads():
    found = []
    context = contextvars.copy_context()
    bare = threading.Thread(target=lambda: found.append(current_task()))
    handed = threading.Thread(target=lambda: found.append(context.run(current_task)))
    for thread in (bare, handed):
        thread.start()
        thread.join()
    return [one and one.func for one in found]


@pytest.fixture(autouse=True)
def _fresh():
    seen.clear()


def path(function):
    return f"{__name__}.{function.__name__}"


def run(function, *args, attempt=1, **options):
    task = build(path(function), args, **options)
    return task, execute(task, attempt, "here:1")


def test_a_task_can_ask_for_itself(qcore_queue):
    before = time.time()
    task, _ = run(look, attempt=3, group="g", timeout=60, max_attempts=5)
    assert seen[0] == (task.id, task.name, task.func, task.queue, "g", 3)
    most, deadline, left = seen[1]
    assert most == 5
    assert deadline.tzinfo is dt.UTC
    assert before + 60 <= deadline.timestamp() <= time.time() + 60
    assert 0 < left <= 60


def test_what_the_settings_say(qcore_queue, settings):
    own = {"timeout": None, "max_attempts": 9}
    settings.Q_CLUSTER = settings.Q_CLUSTER | own
    run(look)
    assert seen[1] == (9, None, None)


def test_outside_of_a_task_there_is_none(qcore_queue):
    assert current_task() is None
    run(look)
    assert current_task() is None
    _, (attempt, error) = run(write_and_fail)
    assert attempt.outcome == "failure"
    assert isinstance(error, ValueError)
    assert current_task() is None
    assert RUNNING.get() is None


@pytest.mark.django_db
def test_a_task_in_a_task(qcore_queue):
    """With ``sync``, a task runs another one in itself; each asks for itself."""
    task, (attempt, _) = run(look_inside, max_attempts=2)
    assert attempt.outcome == "success", attempt.text
    ids = [found[0] for found in seen[::2]]
    assert ids[0] == ids[2] == task.id != ids[1]
    assert [found[0] for found in seen[1::2]] == [2, 7, 2]


def test_a_coroutine_and_its_threads(qcore_queue):
    task, (attempt, _) = run(look_async)
    assert attempt.outcome == "success", attempt.text
    assert [found[0] for found in seen[::2]] == [task.id, task.id]


def test_a_thread_of_its_own_begins_without(qcore_queue):
    assert perform(path(look_in_threads)) == [None, path(look_in_threads)]


# -- the log ---------------------------------------------------------------------------------
@pytest.fixture
def lines():
    """Text that a handler with the filter writes, as the manual sets it up."""
    page = ROOT / "docs/how-to/configure.md"
    shown = list(blocks(page, "python"))
    space: dict[str, object] = {}
    (formatter,) = (one for one in shown if one.file == "shop/logs.py")
    exec(formatter.text, space)
    exec(next(one.text for one in shown if "qcore.logs.TaskFilter" in one.text), space)
    stream = io.StringIO()
    config = space["LOGGING"]
    config["formatters"]["json"]["()"] = space["JsonFormatter"]
    config["handlers"]["console"]["stream"] = stream
    config["loggers"] = {"shop": config.pop("root")}
    logging.config.dictConfig(config | {"incremental": False})
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    own = logging.getLogger("shop")
    own.handlers.clear()
    own.setLevel(logging.NOTSET)


def test_the_formatter_of_the_manual_names_the_task(qcore_queue, lines):
    logger.info("before")
    task, _ = run(write, 17, attempt=2)
    before, inside = lines()
    assert before["message"] == "before"
    assert not before.keys() & {"task_id", "task_name", "queue", "attempt"}
    assert inside["message"] == "order 17"
    named = {key: inside[key] for key in ("task_id", "task_name", "queue", "attempt")}
    assert named == {
        "task_id": task.id,
        "task_name": task.name,
        "queue": task.queue,
        "attempt": 2,
    }


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (TaskFilter(), None),
        (TaskFilter(default="-"), "-"),
        (TaskFilter("shop"), "the id"),
        (TaskFilter("elsewhere", default="-"), "-"),
    ],
)
def test_the_filter(qcore_queue, made, told):
    record = logging.LogRecord("shop.orders", logging.INFO, "", 1, "text", (), None)
    task = build("chores.kind.add", (1,))
    token = None
    if told == "the id" or made.name:
        token = RUNNING.set((task, 1, time.time(), None))
    try:
        assert made.filter(record)
    finally:
        if token is not None:
            RUNNING.reset(token)
    assert record.task_id == (task.id if told == "the id" else told)


def test_what_a_record_says_itself_stays():
    record = logging.makeLogRecord({"queue": "own"})
    TaskFilter(default="-").filter(record)
    assert (record.queue, record.task_id) == ("own", "-")
