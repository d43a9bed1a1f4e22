"""A broker that delivers twice, and in any order: what runs, and how often."""

from __future__ import annotations

import uuid

import pytest
from faults.evidence import history_of, notes_in, send_naps
from faults.judge import check_history
from faults.place import Place

from qcore.tasks import async_task, fetch

#: About the engine more than about Python.
pytestmark = pytest.mark.once

RESTLESS = "chores.brokers.RestlessBroker"


@pytest.mark.fault("D8")
def test_what_is_delivered_twice_and_out_of_order_runs_once(database, ledger, key):
    """A further delivery may wait for a worker while the first one ends."""
    place = Place(None, {})
    sent = send_naps(place.queue, key, count=40, seconds=0.02)
    cluster = place.start(broker_class=RESTLESS, orm=None)
    try:
        for task_id in sent:
            assert fetch(task_id, wait=60_000).success
        cluster.wait_idle()
        repeated = ledger.entries(f"repeats on {place.queue}")
        assert len(repeated) > 10, "or nothing was delivered twice"
        check_history(history_of(sent, ledger, place.queue))
    finally:
        place.close()


@pytest.mark.fault("D19")
def test_a_task_that_its_caller_sends_twice_with_one_id_runs_once(database, ledger):
    """Who is not told whether a task was sent sends it again, and loses nothing by it."""
    place = Place(None, {})
    task_id = uuid.uuid4().hex
    own = {"cluster": place.queue, "q_options": {"task_id": task_id}}
    try:
        # one delivery is left to its lease
        cluster = place.start(retry=place.lease)
        assert async_task("chores.kind.nap", "twice", 0.01, **own) == task_id
        assert fetch(task_id, wait=60_000).success
        assert async_task("chores.kind.nap", "twice", 0.01, **own) == task_id
        # both at once, before one of them has ended
        other = uuid.uuid4().hex
        for _ in range(2):
            async_task(
                "chores.kind.nap",
                "both",
                0.2,
                **(own | {"q_options": {"task_id": other}}),
            )
        assert fetch(other, wait=60_000).success
        cluster.wait_idle()
        begun = [note.key for note in notes_in(ledger) if note.event == "began"]
        assert (begun.count("twice"), begun.count("both")) == (1, 1)
    finally:
        place.close()
