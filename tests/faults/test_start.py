"""The first moments of clusters: what keeps one from starting, and two that start at once."""

from __future__ import annotations

import pytest
from chores.cluster_log import own_log
from django.conf import settings
from faults.place import Place

from qcore.runtime import current
from qcore.tasks import async_task, result, schedule

pytestmark = pytest.mark.once


@pytest.mark.fault("G12")
def test_a_module_that_cannot_be_imported_ends_the_start_with_its_traceback(
    database, ledger, key
):
    """Once, at the place of the mistake, and before anything is claimed."""
    place = Place(None, {})
    apps = [*settings.INSTALLED_APPS, "chores.unfinished.Unfinished"]
    task_id = async_task("chores.kind.record", key, 1, cluster=place.queue)
    try:
        broken = place.start(wait=False, django={"INSTALLED_APPS": apps})
        assert broken.wait(30) == 2
        assert broken.log.count("Traceback") == 1
        assert "django/" not in broken.log, "it begins in the project"
        assert "chores/broken.py" in broken.log
        assert broken.log.rstrip().endswith("ZeroDivisionError: division by zero")
        assert not broken.survivors()
        assert current.broker(place.queue).queue_size() == 1
        mended = place.start()
        assert result(task_id, wait=60_000) == 1
        mended.wait_idle()
        assert len(ledger.entries(key)) == 1
    finally:
        place.close()


@pytest.mark.fault("F1")
@pytest.mark.fault("F2")
def test_two_clusters_that_start_at_once_fire_each_slot_once(each, ledger, key):
    """Twenty are due when they come, and nobody has used the queue before."""
    place = Place(each.server, each.settings, each.django, each.kind)
    names = [f"{key} {number}" for number in range(20)]
    for name in names:
        schedule("chores.kind.record", name, cluster=place.queue)
    try:
        for _ in range(2):
            place.start(wait=False)
        for name in names:
            ledger.wait(name, "ran", timeout=40)
        for cluster in place.started:
            cluster.wait_complete()
            cluster.wait_idle()
            assert "Traceback" not in own_log(cluster.log)
        assert {len(ledger.entries(name)) for name in names} == {1}
    finally:
        place.close()
