"""Tracked tasks and tasks of ``django.tasks`` in a live cluster."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
from chores.ledger import let_go, wait_for
from django.test import override_settings

if not (find_spec("django.tasks") or find_spec("django_tasks") or os.environ.get("CI")):
    pytest.skip("neither Django 6 nor django-tasks", allow_module_level=True)

import chores.django_tasks as chores

from qcore.models import Task
from qcore.tasks import async_task, status

TWICE = {"default": {"BACKEND": "qcore.backend.QcoreBackend", "QUEUES": []}}
TWICE["default"]["OPTIONS"] = {"max_attempts": 2}


def ended(found):
    """Wait until a task has ended, and return its result."""

    def look():
        found.refresh()
        return found.is_finished

    wait_for(look)
    return found


def test_it_runs_and_is_seen_running(cluster, ledger, key):
    found = chores.held.enqueue(key)
    ledger.wait(key, "began")
    found.refresh()
    assert (found.status, found.attempts, status(found.id)) == ("RUNNING", 1, "running")
    let_go(key)
    ended(found)
    assert (found.status, found.return_value) == ("SUCCESSFUL", key)
    assert Task.objects.get(id=found.id).success, "the admin shows it like any other"


def test_the_context_and_a_coroutine(cluster):
    told, summed = chores.tell.enqueue(1), chores.add_async.enqueue(1, 2)
    attempt, now, workers, stored, stored_workers, args = ended(told).return_value
    assert (attempt, now, stored, args) == (1, "RUNNING", "RUNNING", [1])
    assert workers == stored_workers == told.worker_ids
    assert ended(summed).return_value == 3


def test_a_task_that_kills_its_workers_has_failed(cluster, ledger, key):
    with override_settings(TASKS=TWICE):
        found = ended(chores.die.enqueue(key))
    assert len(ledger.entries(key, "began")) == 2
    assert (found.status, found.attempts) == ("FAILED", 2)
    assert len(set(found.worker_ids)) == 2
    assert [error.exception_class.__name__ for error in found.errors] == [
        "WorkerDied"
    ] * 2
    assert found.started_at < found.last_attempted_at < found.finished_at


def test_a_tracked_task_of_the_other_api(cluster, ledger, key):
    task_id = async_task("chores.kind.hold", key, q_options={"track": True})
    ledger.wait(key, "began")
    assert status(task_id) == "running"
    let_go(key)
    wait_for(lambda: status(task_id) == "succeeded")
