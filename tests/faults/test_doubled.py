"""A broker that delivers twice, and in any order: what runs, and how often."""

from __future__ import annotations

import pytest
from faults.evidence import history_of, send_naps
from faults.judge import check_history
from faults.place import Place

from qcore.tasks import fetch

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
            assert fetch(task_id, wait=20_000).success
        cluster.wait_idle()
        repeated = ledger.entries(f"repeats on {place.queue}")
        assert len(repeated) > 10, "or nothing was delivered twice"
        check_history(history_of(sent, ledger, place.queue))
    finally:
        place.close()
