"""Durable tasks in a real cluster: a worker dies in a step, a sleep, and an event."""

from __future__ import annotations

import pytest
from chores import durable
from chores.ledger import wait_for
from live_fixtures import _migrated, _start, cluster, database, key, ledger

from qcore.models import OutboxRow
from qcore.tasks import fetch, result
from qcore_flows import emit
from qcore_flows.models import Run

__all__ = ["_migrated", "_start", "cluster", "database", "key", "ledger"]


@pytest.mark.fault("S1")
def test_a_run_survives_the_death_of_its_worker(cluster, ledger, key):
    id = durable.survive.enqueue(key)

    def waits():
        run = Run.objects.filter(pk=id).first()
        return run is not None and (run.state, run.waits_for) == ("suspended", "reply")

    wait_for(waits, 60.0, "run that waits for the event")
    emit(f"reply:{key}", "yes")

    def succeeded():  # until then, its result is that of the attempt that died
        record = fetch(id)
        return record is not None and record.success

    wait_for(succeeded, 60.0, "success")
    assert result(id) == ["yes", 3]
    counts = [len(ledger.entries(key, what)) for what in ("first", "second", "third")]
    assert counts == [1, 2, 1]
    wait_for(
        lambda: not OutboxRow.objects.filter(task_id=id).exists(),
        60.0,
        "end of its rows",
    )
    assert Run.objects.get(pk=id).state == "success"


@pytest.mark.fault("S5")
def test_a_run_goes_on_after_the_death_of_a_task_that_it_has_spawned(
    cluster, ledger, key
):
    id = durable.survive_children.enqueue(key)

    def succeeded():
        record = fetch(id)
        return record is not None and record.success

    wait_for(succeeded, 60.0, "success")
    assert result(id) == [1, 2]
    counts = [len(ledger.entries(key, what)) for what in ("first", "second")]
    assert counts == [1, 2], "the second one has killed its worker once"
