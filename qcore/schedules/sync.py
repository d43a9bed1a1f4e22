"""Sync: the table of schedules gets what the code declares.

A row that the code has written is ``declared``, and is the code's: a declaration that has
changed changes its row, and one that has gone deletes it. Rows of the admin and of
``schedule()`` are left alone.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from django.db import (
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    router,
    transaction,
)
from django.utils import timezone

from ..conf.names import quoted
from ..errors import ConfigError, QcoreError
from ..masking import mask_url
from ..models import Schedule
from ..models.missing_tables import migrate_advice
from ..models.tables import SCHEDULES, kept_elsewhere
from ..runtime import current
from ..tasks import discovery
from ..tasks.allowed_tasks import is_allowed
from ..tasks.functions import resolve
from . import overlap, rules
from .datetimes import instant, named_zone, read, write, zone_of
from .error_text import column_text
from .registry import DECLARED

if TYPE_CHECKING:
    from ..conf import Conf
    from .declared import Declared

logger = logging.getLogger("qcore.scheduler")

#: Where ``every`` counts from if nothing else is said.
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

#: Columns that the code says, apart from the moments.
_SAID = (
    "func", "args", "kwargs", "seconds", "cron", "tz", "missed", "jitter", "overlap",
    "cluster",
)  # fmt: skip
#: How the error of a row begins that is told by sync, and not by a run that failed.
NOT_TAKEN = "not taken from the code: "
#: A change of these gives a schedule another next run.
_RULE = {"schedule_type", "seconds", "cron", "tz", "starts", "ends"}


class Change(msgspec.Struct, frozen=True):
    """What sync does, or would do, with one schedule."""

    name: str
    what: Literal["added", "changed", "removed", "kept", "refused"]
    told: str = ""  # the columns that change, or why it is refused


def sync_guarded(when: str, broken: Mapping[str, BaseException] | None = None) -> None:
    """Do what ``sync`` does, but log what fails: migrate and clusters must go on.

    Args:
        when: for the log: ``"after migrate"``.
        broken: see ``sync``.
    """
    if kept_elsewhere(SCHEDULES):
        return
    try:
        sync(broken=broken)
    except (Error, QcoreError) as error:
        advice = ""
        if isinstance(error, Error):
            advice = migrate_advice(error, router.db_for_write(Schedule))
        logger.warning(
            "schedules in code were not written to the table %s: %s: %s %s",
            when, type(error).__name__, mask_url(str(error)), advice,
        )  # fmt: skip


def sync(
    *, dry_run: bool = False, broken: Mapping[str, BaseException] | None = None
) -> list[Change]:
    """Write what the code declares to the table; return what was done with each schedule.

    What is wrong with one schedule stops no other. A schedule whose module cannot be
    imported now is left as it is.

    Args:
        dry_run: change nothing.
        broken: modules that cannot be imported, where all others have been. None imports
            the modules ``tasks`` of all apps first.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    if broken is None:
        broken = discovery.load_all()
    database = router.db_for_write(Schedule)
    rows = {
        row.name or "": row
        for row in Schedule.objects.using(database).filter(declared=True)
    }
    now = timezone.now()
    found = [
        _one(declared, rows.get(declared.name), database, now, dry_run=dry_run)
        for declared in list(DECLARED.values())
    ]
    gone = [row for name, row in rows.items() if name not in DECLARED]
    found += _remove(gone, broken, database, dry_run=dry_run)
    found.sort(key=lambda change: change.name)
    if not dry_run:
        _note(found, rows, database)
        for change in found:
            if change.what == "refused":
                logger.error("schedule %s: %s", change.name, change.told)
            elif change.what != "kept":
                told = f" ({change.told})" if change.told else ""
                logger.info("schedule %s: %s%s", change.name, change.what, told)
    return found


def _note(
    changes: Iterable[Change], rows: Mapping[str, Schedule], database: str
) -> None:
    """Write into its row why a schedule is not as the code has it; or take that away.

    The row would say nothing until its next run, which may be a month away.
    """
    for change in changes:
        row = rows.get(change.name)
        if row is None or change.what not in ("kept", "refused"):
            continue
        told = column_text(f"{NOT_TAKEN}{change.told}") if change.told else ""
        if row.error == told or not (told or row.error.startswith(NOT_TAKEN)):
            continue  # as it was, or the error of a run
        mine = Schedule.objects.using(database).filter(pk=row.pk, declared=True)
        mine.update(error=told)


def _one(
    declared: Declared,
    row: Schedule | None,
    database: str,
    now: dt.datetime,
    *,
    dry_run: bool,
) -> Change:
    try:
        _check_function(declared)
        columns = columns_of(declared, current.conf)
        if row is None:
            return _add(declared, columns, database, now, dry_run=dry_run)
        changed = sorted(k for k, v in columns.items() if getattr(row, k) != v)
        if not changed:
            return Change(declared.name, "kept")
        if not dry_run:
            _change(row, columns, changed, database, now)
        return Change(declared.name, "changed", ", ".join(changed))
    except (OperationalError, InterfaceError):
        raise  # it is the database that is away, and not this schedule that is wrong
    except Exception as error:  # noqa: BLE001 - of one schedule; the others go on
        kind = "" if isinstance(error, QcoreError) else f"{type(error).__name__}: "
        told = f"{kind}{mask_url(str(error))} ({declared.place})"
        return Change(declared.name, "refused", told)


def _check_function(declared: Declared) -> None:
    """Refuse a declaration whose function a worker would not find.

    Raises:
        QcoreError: it has gone, or another function has its name.
    """
    if not is_allowed(declared.func, current.conf):
        admitted = ", ".join(current.conf.allowed_tasks or ())
        raise ConfigError(f"Q_CLUSTER['allowed_tasks'] admits only {admitted}")
    resolve(declared.func)
    if declared.overlap not in (None, overlap.ALLOW):
        overlap.require_tracker()


def columns_of(declared: Declared, conf: Conf) -> dict[str, Any]:
    """Return the columns of a declaration, as they are stored."""
    columns: dict[str, Any] = {name: getattr(declared, name) for name in _SAID}
    for column, moment in (("starts", declared.start), ("ends", declared.end)):
        columns[column] = (
            None if moment is None else write(_moment(moment, declared, conf))
        )
    return columns | {"schedule_type": declared.type}


def _moment(moment: dt.datetime, declared: Declared, conf: Conf) -> dt.datetime:
    if moment.tzinfo is not None:
        return moment
    zone = named_zone(declared.tz) if declared.tz else zone_of(conf)
    return moment if zone is None else rules.resolve_wall(zone, moment)


def _first(row: Schedule, now: dt.datetime) -> None:
    """Set anchor and next run of a row by its rule."""
    begin = read(row.starts) if row.starts else None
    anchor = None
    if row.schedule_type == rules.SECONDS:
        anchor = begin or EPOCH
        if zone_of(current.conf) is None:
            anchor = anchor.replace(tzinfo=None)
        row.anchor = write(anchor)
    else:
        row.anchor = None
    after = instant(now)
    if begin is not None and begin > after:
        after = begin - dt.timedelta(microseconds=1)
    rule = replace(row.entry, next_run=None).rule(current.conf)
    following = rules.next_run(rule, after)
    if following is None or (row.ends and following > read(row.ends)):
        row.repeats = 0  # it is over
        if row.pk is None:
            row.next_run = now
        return
    row.next_run, row.repeats = write(following), -1


def _add(
    declared: Declared,
    columns: dict[str, Any],
    database: str,
    now: dt.datetime,
    *,
    dry_run: bool,
) -> Change:
    taken = Schedule.objects.using(database).filter(name=declared.name, declared=False)
    if taken.exists():
        raise ConfigError(
            f"a schedule called {quoted(declared.name)} was made in the admin or by"
            " schedule(). Delete that one, or give this one another name"
        )
    row = Schedule(name=declared.name, declared=True, **columns)
    _first(row, now)
    if not dry_run:
        try:
            with transaction.atomic(database):
                # as it is: what save() makes of a rule is for rows that people edit
                Schedule.objects.using(database).bulk_create([row])
        except IntegrityError:
            logger.debug("schedule %s was added by another cluster", declared.name)
    return Change(declared.name, "added")


def _change(
    row: Schedule,
    columns: dict[str, Any],
    changed: Iterable[str],
    database: str,
    now: dt.datetime,
) -> None:
    for name, value in columns.items():
        setattr(row, name, value)
    columns |= {"error": "", "tries": 0, "retry_at": None}
    if _RULE & set(changed):
        _first(row, now)
    moments = {"next_run": row.next_run, "anchor": row.anchor, "repeats": row.repeats}
    Schedule.objects.using(database).filter(pk=row.pk, declared=True).update(
        **columns, **moments
    )


def _remove(
    rows: list[Schedule],
    broken: Mapping[str, BaseException],
    database: str,
    *,
    dry_run: bool,
) -> list[Change]:
    found = []
    for row in rows:
        name, module = row.name or "", row.func.rpartition(".")[0]
        if module in broken:
            error = broken[module]
            told = (
                f"left as it is: {module} cannot be imported ({type(error).__name__})"
            )
            found.append(Change(name, "kept", told))
            continue
        found.append(Change(name, "removed"))
        if not dry_run:
            Schedule.objects.using(database).filter(pk=row.pk, declared=True).delete()
    return found
