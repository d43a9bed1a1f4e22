"""scheduler and catch_up on live clusters."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from qcore.models import Schedule
from qcore.tasks import async_task, result, schedule

sentence = pytest.mark.sentence


@sentence(
    "scheduler",
    "You can disable the scheduler by setting this option to ``False``.",
)
@sentence("scheduler", "if you want to temporarily disable all schedules")
@sentence("scheduler", "Defaults to ``True``")
def test_without_a_scheduler_nothing_is_sent_until_a_cluster_has_one(
    start, ledger, key
):
    schedule("chores.kind.record", key, cluster="timed")
    without = start(queue="timed", scheduler=False)
    # longer than a scheduler needs to see what is due
    napping = async_task("chores.kind.nap", f"{key} nap", 2.0, cluster="timed")
    assert result(napping, wait=60_000) == f"{key} nap"
    assert ledger.entries(key) == []
    without.stop()
    start(queue="timed")
    ledger.wait(key, "ran")


@pytest.mark.fault("F10")
@pytest.mark.parametrize(
    ("setting", "runs"),
    [
        pytest.param(
            {},
            5,
            id="default",
            marks=[
                sentence(
                    "catch_up",
                    "The default behavior for schedules that didn't run while a cluster"
                    " was down, is to play catch up and execute all the missed time"
                    " slots until things are back on schedule.",
                ),
                sentence("catch_up", "Defaults to ``True``."),
            ],
        ),
        pytest.param(
            {"catch_up": False},
            1,
            id="False",
            marks=[
                sentence(
                    "catch_up",
                    "You can override this behavior by setting ``catch_up`` to"
                    " ``False``.",
                ),
                sentence(
                    "catch_up",
                    "This will make those schedules run only once when the cluster"
                    " starts and normal scheduling resumes.",
                ),
            ],
        ),
    ],
)
def test_what_was_missed_while_no_cluster_ran(start, ledger, key, setting, runs):
    # nearly a minute until the next one: time for the cluster to start
    first = timezone.now() - dt.timedelta(minutes=4, seconds=2)
    queue = f"missed-{runs}"
    row = schedule(
        "chores.kind.record",
        key,
        schedule_type=Schedule.MINUTES,
        minutes=1,
        next_run=first,
        cluster=queue,
    )
    cluster = start(queue=queue, **setting)
    ledger.wait(key, "ran", runs)
    cluster.wait_idle()
    assert len(ledger.entries(key)) == runs
    row.refresh_from_db()
    assert dt.timedelta() < row.next_run - timezone.now() < dt.timedelta(minutes=1)
    assert row.next_run.second == first.second, "back on schedule"
