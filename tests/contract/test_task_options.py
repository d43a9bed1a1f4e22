"""Options of a task: when it is tried again, whether it can be found, and what its arguments are."""

from __future__ import annotations

import pytest
from chores import retrying, with_types

from qcore.tasks import async_task, status
from qcore.tasks.execute import execute
from qcore.testing.drain import drain, enqueued

option = pytest.mark.option


def attempt_at(*args, **options):
    """Send a task that fails, and return how its first attempt ends."""
    async_task(retrying.fail_with, *args, **options)
    (task,) = enqueued()
    return execute(task, 1, "here:1")[0]


@option("backoff")
def test_it_waits_as_long_as_its_backoff_says(qcore_queue):
    assert attempt_at("OSError", backoff=7).again == 7


@option("retry_on")
def test_it_is_tried_again_after_these_errors_alone(qcore_queue):
    assert attempt_at("OSError", retry_on=retrying.Refused).how == "dead"


@option("discard_on")
def test_it_is_discarded_after_these_errors(qcore_queue):
    attempt = attempt_at("RefusedForGood", discard_on=retrying.Refused)
    assert attempt.outcome == "discarded"


@option("track")
def test_its_place_is_known_from_the_start(qcore_queue, transactional_db):
    assert status(async_task(retrying.discard, track=True)) == "waiting"


@option("typed")
def test_a_dataclass_arrives_as_what_it_is(qcore_queue, db):
    with_types.seen.clear()
    async_task(with_types.plain, with_types.Order(7, []), typed=True)
    drain()
    assert with_types.seen == [with_types.Order(7, [])]
