"""One run: all parts in their order, or what they would do."""

from __future__ import annotations

from django.db import router, transaction

from qcore.models import Schedule, Task
from qcore.runtime import current

from .keys import move_keys
from .packages import move_packages
from .report import Report
from .results import move_results
from .schedules import move_schedules


def move(
    *,
    dry_run: bool = False,
    unpickle: bool = False,
    catch_up: bool = False,
    claimed: bool = False,
) -> Report:
    """Move what is in the tables of django-q; see ``verb``.

    Args:
        dry_run: change nothing.
        unpickle: open the pickles of results.
        catch_up: keep the next run of what is overdue.
        claimed: move queued tasks that an old cluster has claimed, too.
    """
    report = Report(dry_run)
    parts = report.parts
    schedules, results = router.db_for_write(Schedule), router.db_for_write(Task)
    queue = current.conf.options.get("orm") or "default"
    with transaction.atomic(using=schedules):
        move_schedules(parts["schedules"], schedules, catch_up=catch_up)
        if dry_run:
            transaction.set_rollback(True, using=schedules)
    with transaction.atomic(using=results):
        move_results(parts["results"], results, unpickle=unpickle)
        if dry_run:
            transaction.set_rollback(True, using=results)
    move_packages(parts["packages"], queue, dry_run=dry_run, claimed=claimed)
    for alias in dict.fromkeys((schedules, results)):
        move_keys(parts["keys"], alias, dry_run=dry_run)
    return report
