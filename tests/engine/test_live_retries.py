"""Retries, snoozes and discards in a real cluster, with nothing but waits of its own."""

from __future__ import annotations

import pytest

from qcore import Backoff
from qcore.models import OutboxRow, Ticket
from qcore.tasks import async_task, fetch


@pytest.fixture(scope="module")
def cluster(_start):
    return _start(max_attempts=2)


def ended(task_id):
    """Wait for the record of a task that will not run again."""
    record = fetch(task_id, wait=60_000)
    assert record is not None, "no result in 60 s"
    return record


def test_a_snoozed_task_is_sent_again_as_a_new_package(cluster, ledger, key):
    """Three runs, of which two do not count, with max_attempts=2; and no result before."""
    task_id = async_task("chores.retrying.snooze_twice", key, 0.05)
    record = ended(task_id)
    assert (record.result, record.attempt_count) == ("awake", 1)
    assert len(ledger.entries(key, "began")) == 3
    ticket = Ticket.objects.get(task_id=task_id)
    assert (ticket.gen, ticket.runs, ticket.final) == (2, 0, "success")
    # whoever sends a package deletes its row afterwards
    cluster.wait_for(lambda: not OutboxRow.objects.exists(), what="an empty outbox")


def test_a_discarded_task_runs_once(cluster):
    record = ended(async_task("chores.retrying.discard"))
    assert (record.success, record.outcome, record.attempt_count) == (
        False, "discarded", 1,
    )  # fmt: skip
    assert record.result.startswith("Discard: nobody wants it")


def test_a_retry_with_a_backoff_within_the_lease(cluster, ledger, key):
    async_task(
        "chores.retrying.fail_with", "OSError", key,
        q_options={"backoff": Backoff(0.1), "retry_on": OSError, "max_attempts": 3},
    )  # fmt: skip
    ledger.wait(key, "began", 3)
