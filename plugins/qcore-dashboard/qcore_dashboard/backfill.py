"""The charts of the time before the dashboard: minutes counted from stored results.

Runs in: the dispatcher, in the thread that writes the counts, once, before its first write.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.db import connections, transaction

from qcore.models import Task
from qcore.models.tables import RESULTS, kept_elsewhere
from qcore.results.moments import moment

from .charts import SPAN
from .models import Minute

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Results that are read, the newest: more would keep a database busy for charts alone.
MOST = 100_000
#: Rows that are in memory at a time.
_CHUNK = 2_000
_FIELDS = ("success", "attempt_count", "enqueued", "started", "stopped")


def fill(database: str, queue: str, first: int) -> int:
    """Write the minutes of the last hour that results tell of; return how many.

    Nothing is written where the queue has a row of that hour: a cluster has counted then. The
    store keeps the last attempt of a task. So a task that was tried again counts once, and
    its wait is not known. The minute before ``first`` is left to a cluster that began a
    moment earlier and has written nothing yet. The oldest minutes are left out where there are more than
    ``MOST`` results, the one in which the limit lies included.

    Args:
        database: that has the minutes.
        queue: whose results are counted.
        first: the minute in which the cluster began to count, since the epoch.

    Raises:
        Error: a database did not answer.
    """
    rows = Minute.objects.using(database).filter(queue=queue)
    if rows.filter(minute__gte=first - SPAN).exists() or kept_elsewhere(RESULTS):
        return 0
    ended = Task.objects.filter(
        success__in=[True, False],  # so that the index is used
        cluster=queue,
        stopped__gte=moment((first - SPAN) * 60),
        stopped__lt=moment((first - 1) * 60),
    )
    newest = ended.order_by("-stopped").values_list(*_FIELDS)[:MOST]
    try:
        counted = _minutes(queue, newest.iterator(chunk_size=_CHUNK))
    finally:
        if ended.db != database:  # nobody else uses it in this thread
            connections[ended.db].close()
    if sum(row.succeeded + row.failed for row in counted) >= MOST:
        counted.remove(min(counted, key=lambda row: row.minute))  # a part of a minute
    with transaction.atomic(database):
        # another cluster of the queue may have begun in the same moment
        Minute.objects.using(database).bulk_create(counted, ignore_conflicts=True)
    return len(counted)


def _minutes(
    queue: str, ended: Iterable[tuple[bool, int, dt.datetime, dt.datetime, dt.datetime]]
) -> list[Minute]:
    found: dict[int, Minute] = {}
    for success, attempts, enqueued, started, stopped in ended:
        minute = int(stopped.timestamp() // 60)
        row = found.setdefault(minute, Minute(minute=minute, queue=queue))
        row.succeeded += success
        row.failed += not success
        # clocks that disagree may give negative times
        row.run_seconds += max(0.0, (stopped - started).total_seconds())
        if attempts == 1:
            row.begun += 1
            row.wait_seconds += max(0.0, (started - enqueued).total_seconds())
    return list(found.values())
