"""``qcore tasks``: the list of tasks, and what chooses from it."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from io import StringIO

import pytest
from chores import kind
from django.test import override_settings
from support.json_schemas import validate

from qcore import status
from qcore.cli import tasks as verb
from qcore.errors import ConfigError, StoreUnavailable
from qcore.listing import finished, tracked
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.settled import suspended_by
from qcore.status import Progress, Snapshot, WorkerStatus
from qcore.tasks import async_task
from qcore.tasks import status as state_of
from qcore.tasks.calls import build
from qcore.tasks.tracking import Entry
from qcore.testing.drain import drain
from qcore.testing.fixtures import qcore_queue

__all__ = ["qcore_queue"]

pytestmark = pytest.mark.django_db

SECRET = "a-secret-argument"


def typed(*words):
    """Return the exit code of ``qcore tasks ...``, and what it writes."""
    parser = ArgumentParser()
    verb.add_arguments(parser)
    out = StringIO()
    return verb.run(parser.parse_args(words), out), out.getvalue()


def document(*words):
    code, text = typed(*words, "--json")
    assert code == 0
    found = json.loads(text)
    validate(found)
    return found


def ids(*words):
    return [task["id"] for task in document(*words)["tasks"]]


@pytest.fixture
def sent(qcore_queue):
    """Send tasks that end in different ways, and return their ids by the way."""
    found = {
        "sum": async_task(kind.add, 1, 2, group="month end", task_name="sum"),
        "bad": async_task(kind.fail, SECRET, max_attempts=1),
    }
    drain(raises=False)
    found["later"] = write_later(due=time.time() + 3600)
    tracked = build("chores.kind.add", [1, SECRET], track=True)
    current.tracker.write([Entry(tracked, tracked.queue)])
    return found | {"waiting": tracked.id}


def write_later(**columns):
    """Write a task into the outbox; return its id."""
    task = build("chores.kind.add", [1, SECRET])
    OutboxRow.objects.create(
        queue=task.queue, task_id=task.id, package=current.signer.sign(task), **columns
    )
    return task.id


def test_every_state_is_in_one_list(sent):
    states = {task["id"]: task["state"] for task in document()["tasks"]}
    assert states == {
        sent["sum"]: "succeeded",
        sent["bad"]: "dead",
        sent["later"]: "scheduled",
        sent["waiting"]: "waiting",
    }


def test_it_is_a_table_for_people_without_arguments(sent):
    code, text = typed()
    assert code == 0
    head, *lines = text.splitlines()
    assert head.split() == [
        *("ID", "STATE", "FUNCTION", "QUEUE", "GROUP", "WHEN", "RAN", "TRIES", "NOTE")
    ]
    assert {line.split()[0] for line in lines} == set(sent.values())
    shown = [line for line in lines if "dead" not in line.split()]
    assert SECRET not in "\n".join(shown)  # the error of the dead one says it itself


@pytest.mark.parametrize(
    ("words", "which"),
    [
        (["--state", "dead"], ["bad"]),
        (["--state", "succeeded,dead"], ["bad", "sum"]),
        (["--state", "waiting"], ["waiting"]),
        (["--state", "scheduled"], ["later"]),
        (["--func", "chores.kind.fail"], ["bad"]),
        (["--func", "*.fail"], ["bad"]),
        (["--group", "month end"], ["sum"]),
        (["--name", "sum"], ["sum"]),
        (["state:dead", "func:chores.*"], ["bad"]),
        (["state:succeeded,dead", "--since", "1h"], ["bad", "sum"]),
        (["--state", "succeeded,dead", "--until", "1h"], []),
        (["--state", "succeeded", "--since", "2001-01-01"], ["sum"]),
        (["--state", "succeeded", "--since", "9000-01-01T00:00"], []),
        (["--queue", "elsewhere"], []),
    ],
)
def test_what_is_asked_for_is_listed(sent, words, which):
    assert ids(*words) == [sent[name] for name in which]


def test_an_empty_list_says_so(sent):
    code, text = typed("--state", "lost")
    assert (code, text) == (0, "No task is found.\n")


def test_what_runs_is_listed_with_its_progress(qcore_queue, monkeypatch):
    worker = WorkerStatus(
        index=1, pid=2, state="busy", task_id="a" * 32, task_name="sum",
        func="chores.kind.add", seconds=3.0, progress=Progress(done=2, total=5),
    )  # fmt: skip
    snapshot = Snapshot(
        cluster="c" * 32, name="shop", queue="mail", host="h", version="2", broker="b",
        state="running", sentinel_pid=1, dispatcher_pid=1, started=0.0, at=time.time(),
        workers=[worker],
    )  # fmt: skip
    monkeypatch.setattr(status, "running", lambda: [snapshot])
    [task] = document("--state", "running")["tasks"]
    assert (task["queue"], task["progress"]) == ("mail", "40%, 2 of 5")
    assert "40%, 2 of 5" in typed()[1]


def test_clusters_that_cannot_be_asked_hide_nothing_else(sent, monkeypatch, capsys):
    def away():
        raise StoreUnavailable("the cache redis://:geheim@host does not answer")

    monkeypatch.setattr(status, "running", away)
    assert set(ids()) == set(sent.values())
    told = capsys.readouterr().err
    assert "what runs is not known" in told
    assert "geheim" not in told


def test_a_list_goes_on_where_it_has_ended(sent, monkeypatch):
    whole = ids()
    found, after = [], []
    for _ in range(10):
        part = document("--limit", "2", *after)
        found += [task["id"] for task in part["tasks"]]
        if part["next"] is None:
            break
        after = ["--after", part["next"]]
    assert found == whole
    assert "There may be more: add --after " in typed("--limit", "1")[1]


def test_a_search_that_fits_few_goes_through_many(sent, monkeypatch):
    monkeypatch.setattr(finished, "CHUNK", 1)
    monkeypatch.setattr(finished, "ROUNDS", 1)
    assert ids("--state", "succeeded", "sum") == [sent["sum"]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--state", "ded"], "state:ded is not a state of a task"),
        (["--since", "noon"], "since:noon is not a time"),
        (["--func", ""], "func is an empty text"),
        (["--func", "*a*"], "has several '*'"),
        (["fnc:x"], "is not a search key"),
        (["--state", "dead", "state:lost"], "state: stands twice"),
        (["--after", "nowhere"], "cannot be read"),
        (["--group", "a\0b"], "NUL"),
    ],
)
def test_what_cannot_be_read_is_told(sent, words, told):
    with pytest.raises(ConfigError, match=told.replace("*", r"\*")):
        typed(*words)


def test_results_that_are_kept_elsewhere_are_told(settings):
    conf = {**settings.Q_CLUSTER, "result_store": "cache"}
    with override_settings(Q_CLUSTER=conf):
        text = typed()[1]
        assert "Tasks that have ended are not listed: " in text
        assert document()["elsewhere"]


@pytest.mark.parametrize(
    ("held_by", "state"), [("limits", "parked"), (suspended_by("flows"), "suspended")]
)
def test_a_suspended_task_is_no_parked_one(qcore_queue, held_by, state):
    task_id = write_later(due=None, held_by=held_by)
    assert ids("--state", state) == [task_id]
    assert state_of(task_id) == state


def test_tracked_tasks_have_pages_too(qcore_queue, monkeypatch):
    monkeypatch.setattr(tracked, "LOOKED_AT", 2)
    tasks = [build("chores.kind.add", [n], track=True) for n in range(5)]
    current.tracker.write([Entry(task, task.queue) for task in tasks])
    assert ids("--state", "waiting") == sorted(
        (task.id for task in tasks), reverse=True
    )
