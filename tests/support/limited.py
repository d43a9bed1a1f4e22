"""Tasks with limits: the limits of a project, and what its tables say of them."""

from __future__ import annotations

from qcore.ledger.clock import Clock
from qcore.tasks import async_task
from qcore_limits.models import Hold, LimitKey, WaitingTask

LIMITS = {
    "one": {"concurrency": 1},
    "two": {"concurrency": 2, "key": "{left}"},
    "paced": {"rate": "1/10s"},
    "bursty": {"rate": "1/10s", "burst": 3},
    "both": {"concurrency": 1, "rate": "1/10s"},
    "other": {"concurrency": 1},
    "many": {"concurrency": 100},
}
OUTSIDE = {
    "name": "tests",
    "broker_class": "chores.outside.OutsideBroker",
    "limits": LIMITS,
}


def add(*args, limits="one", **options):
    return async_task("chores.kind.add", *args, q_options={"limits": limits, **options})


def later(seconds, monkeypatch):
    monkeypatch.setattr(Clock, "offset", Clock.offset + seconds)


def numbers():
    """The numbers of each key agree with the rows."""
    for key in LimitKey.objects.all():
        rows = WaitingTask.objects.filter(digest=key.digest)
        assert key.parked == rows.filter(kind="parked").count(), key.label
        assert key.later == rows.filter(kind="later").count(), key.label
    return {
        key.label: (
            Hold.objects.filter(digest=key.digest, start__gt=0).count(),
            Hold.objects.filter(digest=key.digest, start=0).count(),
            key.parked,
            key.later,
        )
        for key in LimitKey.objects.all()
    }
