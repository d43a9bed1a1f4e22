"""Slots that come faster than their task runs."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import override_settings
from django.utils import timezone
from faults.place import Place

from qcore.models import Schedule
from qcore.runtime import current
from qcore.tasks import fetch_group, schedule
from qcore.testing.speed import stretched

pytestmark = pytest.mark.once

#: How many slots of one minute are due in this time.
SLOTS = 3
AGO = dt.timedelta(minutes=SLOTS - 1, seconds=10)


@pytest.mark.fault("F11")
def test_runs_overlap_and_a_task_can_refuse_to(database, redis_server, ledger, key):
    """Every slot is sent and has its result; the recipe of the manual skips the rest."""
    where = {"name": "faults", "redis": {"port": redis_server.port}}
    cache = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": redis_server.url(),
    }
    place = Place(redis_server, where, {"CACHES": {"default": cache}})
    chores = {f"{key} all": "nap", f"{key} one": "nap_unless_one_does"}
    together = min(stretched(5.0), 20.0)  # by then the last of them has begun
    with override_settings(Q_CLUSTER=where):
        for name, chore in chores.items():
            schedule(
                f"chores.kind.{chore}", name, together, name=name, minutes=1,
                schedule_type=Schedule.MINUTES, next_run=timezone.now() - AGO,
                cluster=place.queue,
            )  # fmt: skip
        cluster = place.start(workers=2 * SLOTS)
        try:
            results = {
                name: sorted(
                    record.result
                    for record in fetch_group(name, count=SLOTS, wait=60_000)
                )
                for name in chores
            }
            cluster.wait_idle()
        finally:
            place.close()
            current.close()
    everyone, one = chores
    assert results[everyone] == [everyone] * SLOTS
    assert results[one] == sorted([one, *["skipped"] * (SLOTS - 1)])
    assert len(ledger.entries(everyone, "began")) == SLOTS
    assert len(ledger.entries(one, "began")) == 1
