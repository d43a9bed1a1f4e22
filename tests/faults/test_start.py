"""What keeps a cluster from starting at all."""

from __future__ import annotations

import pytest
from django.conf import settings
from faults.place import Place

from qcore.current import current
from qcore.tasks import async_task, result

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
        assert result(task_id, wait=10_000) == 1
        mended.wait_idle()
        assert len(ledger.entries(key)) == 1
    finally:
        place.close()
