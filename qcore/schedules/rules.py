"""Rules: when a schedule runs next. Pure arithmetic on dates, without a clock.

A rule is a grid of slots that begins at its ``anchor``, the first run. Because every
slot is counted from the anchor and not from the slot before, a monthly schedule on
the 31st runs on 28 February and on 31 March again, and a slot that a clock change
moved does not move the next one.

Minutes and hours count real time: a day of 25 hours has 50 half hours. Days and more
keep the time on the wall in ``zone``: a time in the gap of a clock change becomes the
end of the gap, and of a repeated hour only the first counts. Cron is read in ``zone``.

Without a zone (``USE_TZ = False``) all moments are naive. Otherwise results are aware
and in ``zone``, and a naive moment that is passed in is taken as wall time there.
"""

from __future__ import annotations

import calendar
import dataclasses
import datetime as dt
import difflib

from ..conf.names import quoted
from ..errors import ConfigError
from . import expressions as _cron
from .expressions import validate_cron

__all__ = [
    "LABELS",
    "Rule",
    "due_slots",
    "explain",
    "infer_type",
    "is_type",
    "next_run",
    "reanchor",
    "renew",
    "resolve_wall",
    "unknown_type",
    "validate_cron",
]

ONCE = "O"
SECONDS = "S"
MINUTES = "I"
HOURLY = "H"
DAILY = "D"
WEEKLY = "W"
BIWEEKLY = "BW"
MONTHLY = "M"
BIMONTHLY = "BM"
QUARTERLY = "Q"
YEARLY = "Y"
CRON = "C"

LABELS = {
    ONCE: "Once",
    SECONDS: "Seconds",
    MINUTES: "Minutes",
    HOURLY: "Hourly",
    DAILY: "Daily",
    WEEKLY: "Weekly",
    BIWEEKLY: "Biweekly",
    MONTHLY: "Monthly",
    BIMONTHLY: "Bimonthly",
    QUARTERLY: "Quarterly",
    YEARLY: "Yearly",
    CRON: "Cron",
}
_DAYS = {DAILY: 1, WEEKLY: 7, BIWEEKLY: 14}
_MONTHS = {MONTHLY: 1, BIMONTHLY: 2, QUARTERLY: 3, YEARLY: 12}

_SECOND = dt.timedelta(seconds=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a schedule runs; raises ConfigError for a rule that makes no sense.

    ``anchor`` is the first run, and needed by every type but cron. ``minutes`` is the
    interval of type MINUTES, at least 1, as ``seconds`` is of SECONDS; ``cron`` the expression of type CRON.
    """

    type: str
    minutes: int | None = None
    cron: str | None = None
    anchor: dt.datetime | None = None
    zone: dt.tzinfo | None = None
    seconds: int | None = None

    def __post_init__(self) -> None:
        if not is_type(self.type):
            raise ConfigError(unknown_type(self.type))
        if self.type == CRON:
            validate_cron(self.cron or "")
        elif self.anchor is None:
            raise ConfigError(f"a schedule of type {LABELS[self.type]} needs next_run")
        if self.type == SECONDS and not _is_count(self.seconds):
            raise ConfigError(
                f"seconds is {self.seconds!r}, expected a whole number of 1 or more; in the"
                " code that is @every(seconds=10)"
            )
        if self.type == MINUTES and not _is_count(self.minutes):
            raise ConfigError(
                f"minutes is {self.minutes!r}, expected a whole number of 1 or more"
            )


def is_type(given: object) -> bool:
    """Return whether ``given`` is the key of a type, such as ``"D"``."""
    return isinstance(given, str) and given in LABELS


def unknown_type(given: object) -> str:
    """Return the error message for an unknown ``schedule_type``; it lists the known types."""
    known = ", ".join(f"{key!r} ({label})" for key, label in LABELS.items())
    word = given if isinstance(given, str) else quoted(given)
    by_label = {label.lower(): key for key, label in LABELS.items()}
    near = by_label.get(word.lower()) or (
        word.upper() if word.upper() in LABELS else None
    )
    if near is None:
        found = difflib.get_close_matches(word.lower(), by_label, n=1)
        near = by_label[found[0]] if found else None
    hint = f" - did you mean {near!r} ({LABELS[near]})?" if near else ""
    return f"schedule_type {quoted(given)} is unknown, expected one of {known}{hint}"


def infer_type(given: object, cron: object, minutes: object) -> object:
    """Return the given type, else the type that ``cron`` or ``minutes`` implies.

    Raises:
        ConfigError: cron and minutes are given, and no type.
    """
    if given is not None:
        return given
    if cron and minutes is not None:
        raise ConfigError(
            "cron and minutes are given without a schedule_type: remove one of the two,"
            " or set schedule_type to 'C' or 'I'"
        )
    if cron:
        return CRON
    return ONCE if minutes is None else MINUTES


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def next_run(rule: Rule, after: dt.datetime) -> dt.datetime | None:
    """Return the first slot of ``rule`` strictly after ``after``, or None.

    None means that there is no more: a ONCE that has passed, or the end of the
    calendar in the year 9999.
    """
    try:
        slot = _next(rule, _instant(rule, after))
        return None if slot is None else _shown(rule, slot)
    except (OverflowError, ValueError):  # the year 10000
        return None


def due_slots(
    rule: Rule,
    due: dt.datetime,
    now: dt.datetime,
    catch_up: bool = True,
    limit: int = 100,
) -> tuple[list[dt.datetime], dt.datetime | None]:
    """Return the slots to fire now, oldest first, and the slot to store as next_run.

    ``due`` is the stored next_run; it is fired as it is, in the grid or not, because
    people edit it. With ``catch_up`` every missed slot is fired, at most ``limit`` (1
    or more) per call: what is returned as next_run is then still due, and the next
    call goes on from it. Without ``catch_up`` only the latest missed slot is fired.
    """
    slot: dt.datetime | None = _shown(rule, _instant(rule, due))
    if slot is not None and not catch_up and _is_due(rule, slot, now):
        slot = _latest(rule, slot, now)
    slots: list[dt.datetime] = []
    while slot is not None and _is_due(rule, slot, now) and len(slots) < limit:
        slots.append(slot)
        slot = next_run(rule, slot)
    return slots, slot


def reanchor(rule: Rule, due: dt.datetime) -> Rule:
    """Return ``rule`` if ``due`` is one of its slots, else a rule anchored there.

    So a stored next_run that was edited, by whatever way, begins a new grid.
    """
    before = _instant(rule, due) - dt.timedelta(microseconds=1)
    slot = next_run(rule, _shown(rule, before))
    if slot is not None and _instant(rule, slot) == _instant(rule, due):
        return rule
    return dataclasses.replace(rule, anchor=due)


def renew(rule: Rule, now: dt.datetime) -> tuple[dt.datetime, dt.datetime | None]:
    """Return the next run and the anchor of a schedule whose rule was changed.

    The anchor of ``rule`` is the next run by the rule before. Its time of day, day of the
    week or of the month counts on: from there the grid of the new rule is laid in both
    directions, and its first slot after ``now`` is next. A ONCE keeps its time.
    """
    if rule.type == CRON:
        return next_run(rule, now) or now, None
    if rule.anchor is None or rule.type == ONCE:
        return rule.anchor or now, rule.anchor
    anchor = _shown(rule, _backwards(rule, rule.anchor, now))
    first = next_run(dataclasses.replace(rule, anchor=anchor), now)
    return first or rule.anchor, anchor


def _backwards(rule: Rule, anchor: dt.datetime, now: dt.datetime) -> dt.datetime:
    """Return an instant on the grid of ``rule`` through ``anchor``, not after ``now``."""
    first, current = _instant(rule, anchor), _instant(rule, now)
    if first <= current:
        return first
    interval = _interval(rule)
    if interval is not None:
        return first - -((current - first) // interval) * interval
    wall, today = _wall_of(rule, first), _wall_of(rule, current)
    if rule.type in _DAYS:
        step = _DAYS[rule.type]
        wall -= dt.timedelta(
            days=((wall.date() - today.date()).days // step + 1) * step
        )
    else:
        # whole cycles of leap years: day and month stay, 29 February, too
        year = wall.year - ((wall.year - today.year) // 4 + 1) * 4
        last = calendar.monthrange(year, wall.month)[1]
        wall = wall.replace(year=year, day=min(wall.day, last))
    return wall if rule.zone is None else _resolve(rule.zone, wall)


def resolve_wall(zone: dt.tzinfo, wall: dt.datetime) -> dt.datetime:
    """Return the instant of a naive time on the wall; one in a gap is the gap's end."""
    return _resolve(zone, wall)


def explain(rule: Rule) -> str:
    """Return the rule in a few words: ``every Monday at 02:30``."""
    if rule.anchor is None or rule.type == CRON:
        return _cron.explain(rule.cron or "")
    wall = _shown(rule, _instant(rule, rule.anchor))
    at = f"at {wall:%H:%M}"
    day = f"on day {wall.day}" + (", or the last," if wall.day > 28 else "")
    if rule.type == SECONDS:
        return _every(rule.seconds or 1)
    if rule.type == MINUTES:
        return "every minute" if rule.minutes == 1 else f"every {rule.minutes} minutes"
    return {
        ONCE: f"once on {wall:%Y-%m-%d} {at}",
        HOURLY: f"every hour at minute {wall.minute}",
        DAILY: f"every day {at}",
        WEEKLY: f"every {wall:%A} {at}",
        BIWEEKLY: f"every second {wall:%A} {at}",
        MONTHLY: f"every month {day} {at}",
        BIMONTHLY: f"every 2 months {day} {at}",
        QUARTERLY: f"every 3 months {day} {at}",
        YEARLY: f"every year on {wall.day} {wall:%B} {at}",
    }[rule.type]


def _every(seconds: int) -> str:
    """Return ``every 5 minutes``: the largest unit of which it is a whole number."""
    units = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next(one for one in units if not seconds % one[0])
    count = seconds // size
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


# --- moments -----------------------------------------------------------------------
#
# Python compares and subtracts two datetimes of one zone by their wall time, which is
# wrong around a clock change. So all arithmetic is done on instants: UTC, or naive.


def _instant(rule: Rule, moment: dt.datetime) -> dt.datetime:
    if rule.zone is None:
        return moment.replace(tzinfo=None)
    if moment.tzinfo is None:
        return _resolve(rule.zone, moment)
    return moment.astimezone(dt.UTC)


def _shown(rule: Rule, instant: dt.datetime) -> dt.datetime:
    return instant if rule.zone is None else instant.astimezone(rule.zone)


def _resolve(zone: dt.tzinfo, wall: dt.datetime) -> dt.datetime:
    """Return the instant at which the clocks of ``zone`` show ``wall``, or the next."""
    instant = wall.replace(tzinfo=zone).astimezone(dt.UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall.replace(fold=0):
        return instant
    # In a gap, fold=1 gives an instant before it and fold=0 one after: the change of
    # the offset lies between, on a whole second.
    low = wall.replace(tzinfo=zone, fold=1).astimezone(dt.UTC).replace(microsecond=0)
    high = wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC).replace(microsecond=0)
    offset = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high


def _is_due(rule: Rule, slot: dt.datetime, now: dt.datetime) -> bool:
    return _instant(rule, slot) <= _instant(rule, now)


# --- grids -------------------------------------------------------------------------


def _next(rule: Rule, after: dt.datetime) -> dt.datetime | None:
    if rule.anchor is None or rule.type == CRON:
        return _next_cron(rule, after)
    anchor = _instant(rule, rule.anchor)
    if after < anchor:
        return anchor
    if rule.type == ONCE:
        return None
    interval = _interval(rule)
    if interval is not None:
        return anchor + ((after - anchor) // interval + 1) * interval
    return _next_by_calendar(rule, anchor, after)


def _interval(rule: Rule) -> dt.timedelta | None:
    """Return the real time between two slots, where the rule counts real time."""
    if rule.type == HOURLY:
        return dt.timedelta(hours=1)
    if rule.type == SECONDS:
        return dt.timedelta(seconds=rule.seconds or 1)
    return dt.timedelta(minutes=rule.minutes or 1) if rule.type == MINUTES else None


def _wall_of(rule: Rule, instant: dt.datetime) -> dt.datetime:
    return _shown(rule, instant).replace(tzinfo=None, fold=0)


def _next_cron(rule: Rule, after: dt.datetime) -> dt.datetime | None:
    for slot in _cron.slots(rule.cron or "", _shown(rule, after)):
        instant = _instant(rule, slot)
        if instant > after:
            return instant
    return None


def _next_by_calendar(
    rule: Rule, anchor: dt.datetime, after: dt.datetime
) -> dt.datetime:
    first = _wall_of(rule, anchor)
    today = _shown(rule, after)
    if rule.type in _DAYS:
        passed = (today.date() - first.date()).days // _DAYS[rule.type]
    else:
        months = (today.year - first.year) * 12 + today.month - first.month
        passed = months // _MONTHS[rule.type]
    # One step back: a slot of yesterday can be moved into today by a gap at midnight.
    count = max(1, passed - 1)
    while True:
        wall = _wall(rule.type, first, count)
        slot = wall if rule.zone is None else _resolve(rule.zone, wall)
        if slot > after:
            return slot
        count += 1


def _wall(kind: str, first: dt.datetime, count: int) -> dt.datetime:
    """Return the wall time of slot number ``count``, clamped to the month's end."""
    if kind in _DAYS:
        return first + dt.timedelta(days=count * _DAYS[kind])
    years, month = divmod(first.month - 1 + count * _MONTHS[kind], 12)
    year = first.year + years
    last = calendar.monthrange(year, month + 1)[1]
    return first.replace(year=year, month=month + 1, day=min(first.day, last))


def _latest(rule: Rule, slot: dt.datetime, now: dt.datetime) -> dt.datetime:
    """Return the latest slot that is due, by bisection: years may have been missed."""
    low, high = _instant(rule, slot), _instant(rule, now)
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        found = next_run(rule, _shown(rule, middle))
        if found is not None and _is_due(rule, found, now):
            slot, low = found, _instant(rule, found)
        else:
            high = middle
    while (found := next_run(rule, slot)) is not None and _is_due(rule, found, now):
        slot = found
    return slot
