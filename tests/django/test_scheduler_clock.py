"""The scheduler under a clock that tests set: clock changes, long absences, edits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.test import override_settings

from qcore.models import Schedule, ScheduleSlot
from qcore.runtime import current
from qcore.schedules import failures, firing
from qcore.schedules.orm import OrmScheduler
from qcore.tasks import schedule
from qcore.tasks.execute import decode

BERLIN = ZoneInfo("Europe/Berlin")
UTC = dt.UTC
SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}
START = dt.datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def settings_of_the_cluster() -> Iterator[None]:
    with override_settings(Q_CLUSTER=SETTINGS):
        yield


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    # as a number: a datetime would set the time zone of the process, too
    with time_machine.travel(START.timestamp(), tick=False) as traveller:
        yield traveller


def scheduler(**conf) -> OrmScheduler:
    with override_settings(Q_CLUSTER=SETTINGS | conf):
        return OrmScheduler(current.conf)


def sent() -> list:
    """Return the tasks of the queue, and empty it."""
    broker = current.broker()
    deliveries = broker.dequeue(1000)
    broker.acknowledge_many([d.receipt for d in deliveries])
    return [current.signer.verify(d.package, broker.queue) for d in deliveries]


def fired(clock, ticking, since: dt.datetime, until: dt.datetime, step: int) -> list:
    """Tick every ``step`` seconds and return the slots that were fired, as instants."""
    slots = []
    moment = since
    while moment <= until:
        clock.move_to(moment.timestamp())
        ticking.tick()
        slots += [dt.datetime.fromtimestamp(task.slot, UTC) for task in sent()]
        moment += dt.timedelta(seconds=step)
    return slots


def at(text: str, zone: dt.tzinfo = UTC) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone)


def row(**fields) -> Schedule:
    usual = {"func": "math.sqrt", "args": "[4]", "schedule_type": "H"}
    return Schedule.objects.create(**(usual | fields))


# -- clock changes ------------------------------------------------------------------
DAILY = [
    {"schedule_type": "D", "next_run": at("2026-03-27 02:30", BERLIN)},
    {"schedule_type": "C", "cron": "30 2 * * *"},
]


@pytest.mark.fault("F5")
@pytest.mark.parametrize("fields", DAILY, ids=["daily", "cron"])
def test_a_time_in_the_gap_of_spring_fires_once_that_day(db, clock, fields):
    clock.move_to(at("2026-03-27 00:00"))
    with override_settings(Q_CLUSTER=SETTINGS | {"time_zone": "Europe/Berlin"}):
        schedule("math.sqrt", 4, **fields)
    ticking = scheduler(time_zone="Europe/Berlin")
    slots = fired(clock, ticking, at("2026-03-28 00:00"), at("2026-03-31 00:00"), 900)
    local = [f"{slot.astimezone(BERLIN):%d %H:%M}" for slot in slots]
    assert local[-3:] == ["28 02:30", "29 03:00", "30 02:30"]
    assert slots[-2] == at("2026-03-29 01:00")


@pytest.mark.fault("F6")
@pytest.mark.parametrize("fields", DAILY, ids=["daily", "cron"])
def test_a_time_that_comes_twice_in_autumn_fires_once(db, clock, fields):
    clock.move_to(at("2026-10-24 12:00"))
    later = fields | (
        {"next_run": at("2026-10-25 02:30", BERLIN)} if "next_run" in fields else {}
    )
    with override_settings(Q_CLUSTER=SETTINGS | {"time_zone": "Europe/Berlin"}):
        schedule("math.sqrt", 4, **later)
    ticking = scheduler(time_zone="Europe/Berlin")
    slots = fired(clock, ticking, at("2026-10-24 22:00"), at("2026-10-26 02:00"), 600)
    assert slots == [at("2026-10-25 00:30"), at("2026-10-26 01:30")]


@pytest.mark.fault("F7")
def test_an_interval_counts_real_time_when_the_clocks_change(db, clock):
    start = at("2026-10-25 00:00", BERLIN).astimezone(UTC)
    row(schedule_type="I", minutes=30, next_run=start)
    ticking = scheduler(time_zone="Europe/Berlin")
    end = at("2026-10-26 00:00", BERLIN).astimezone(UTC) - dt.timedelta(seconds=1)
    slots = fired(clock, ticking, start, end, 600)
    assert len(slots) == 50
    assert {b - a for a, b in pairwise(slots)} == {dt.timedelta(minutes=30)}


@pytest.mark.fault("F8")
@pytest.mark.parametrize("jump", [-3600, 3600], ids=["an hour back", "an hour on"])
def test_a_clock_that_is_set_fires_no_slot_twice(db, clock, jump):
    row(schedule_type="I", minutes=1, next_run=START)
    ticking = scheduler()
    slots = fired(clock, ticking, START, START + dt.timedelta(minutes=5), 20)
    after = START + dt.timedelta(minutes=5, seconds=jump)
    slots += fired(clock, ticking, after, after + dt.timedelta(minutes=70), 60)
    assert len(slots) == len(set(slots))
    assert slots == sorted(slots)
    gaps = {b - a for a, b in pairwise(slots)}
    assert gaps == {dt.timedelta(minutes=1)}


# -- the calendar -------------------------------------------------------------------
@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    ("kind", "first", "expected"),
    [
        ("M", "2027-12-31 08:00", ["12-31", "01-31", "02-29", "03-31", "04-30"]),
        ("Y", "2024-02-29 08:00", ["02-29", "02-28", "02-28", "02-28", "02-29"]),
    ],
    ids=["monthly", "yearly"],
)
def test_the_last_day_comes_back_after_shorter_months(db, clock, kind, first, expected):
    """Also where each slot was stored and read in between."""
    one = row(schedule_type=kind, next_run=at(first))
    days = []
    for _ in expected:
        clock.move_to(one.next_run)
        scheduler().tick()
        days += [f"{dt.datetime.fromtimestamp(t.slot, UTC):%m-%d}" for t in sent()]
        one.refresh_from_db()
    assert days == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * MON-FRI", [f"01-0{day} 09:00" for day in (2, 5, 6, 7)]),
        ("30 8-10/2 5 JAN,feb *", ["01-05 08:30", "01-05 10:30"]),
        ("@daily", [f"01-0{day} 00:00" for day in range(2, 8)]),
    ],
)
def test_a_cron_fires_at_its_names_and_ranges(db, clock, cron, expected):
    schedule("math.sqrt", 4, schedule_type="C", cron=cron)
    week = START + dt.timedelta(days=6)
    slots = fired(clock, scheduler(), START, week, 1800)
    assert [f"{slot:%m-%d %H:%M}" for slot in slots] == expected


@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
@pytest.mark.fault("F14")
def test_without_time_zones_the_wall_clock_counts(transactional_db, clock):
    connection.close()
    try:
        row(schedule_type="D", next_run=dt.datetime(2026, 3, 28, 8))
        since, until = at("2026-03-28 06:00"), at("2026-03-30 08:00")
        slots = fired(clock, scheduler(), since, until, 1800)
        local = [f"{slot.astimezone(BERLIN):%d %H:%M}" for slot in slots]
        assert local == ["28 08:00", "29 08:00", "30 08:00"]
    finally:
        connection.close()


# -- away for long ------------------------------------------------------------------
@pytest.mark.fault("F10")
def test_after_three_days_every_missed_minute_is_run_in_bursts(db, clock):
    every = {"schedule_type": "I", "minutes": 1, "func": "shop.tasks.report"}
    row(**every, next_run=START, intended_date_kwarg="day")
    clock.shift(3 * 86_400)
    ticking = scheduler()
    bursts = []
    while not bursts or bursts[-1]:
        ticking.tick()
        bursts.append(sent())
    slots = [task.slot for burst in bursts for task in burst]
    assert max(map(len, bursts)) == firing.BURST
    minutes = 3 * 24 * 60 + 1
    assert slots == [START.timestamp() + 60 * n for n in range(minutes)]
    first, last = bursts[0][0], bursts[-2][-1]
    assert decode(first)[1] == {"day": "2026-01-01T12:00:30+00:00"}
    assert decode(last)[1] == {"day": "2026-01-04T12:00:30+00:00"}


@pytest.mark.fault("F10")
def test_after_three_days_only_the_latest_is_run_without_catching_up(db, clock):
    one = row(schedule_type="I", minutes=1, next_run=START, repeats=5)
    clock.shift(3 * 86_400)
    ticking = scheduler(catch_up=False)
    ticking.tick()
    ticking.tick()
    (task,) = sent()
    assert task.slot == START.timestamp() + 3 * 86_400
    one.refresh_from_db()
    assert one.repeats == 4, "what was skipped is not counted"
    clock.shift(60)
    ticking.tick()
    assert len(sent()) == 1


# -- edits while it is due ------------------------------------------------------------
def edit(**fields):
    def apply(one: Schedule) -> None:
        Schedule.objects.filter(pk=one.pk).update(**fields)

    return apply


LATER = START + dt.timedelta(hours=5)


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    ("change", "count", "later"),
    [
        (lambda one: one.delete(), 0, 0),
        (edit(next_run=LATER), 0, 1),
        (edit(func="math.floor"), 0, 6),
        (edit(repeats=1), 0, 1),
        (edit(args="[9]"), 1, 5),
    ],
    ids=["deleted", "moved", "another function", "fewer repeats", "arguments"],
)
def test_a_schedule_that_is_changed_while_it_is_due(
    db, clock, monkeypatch, change, count, later
):
    """Either as it was or as it is: one slot, never both, and no error."""
    one = row(next_run=START)
    ticking = scheduler()
    seen = ticking._due(START)
    assert list(seen) == [one]  # read, and kept by the query set
    monkeypatch.setattr(seen, "exclude", lambda **_: seen)
    change(Schedule.objects.get(pk=one.pk))
    with monkeypatch.context() as stale:
        stale.setattr(ticking, "_due", lambda now: seen)
        ticking.tick()
    assert len(sent()) == count
    assert not Schedule.objects.exclude(error="").exists()
    clock.move_to(LATER)
    ticking.tick()
    tasks = sent()
    assert len(tasks) == later
    slots = list(ScheduleSlot.objects.values_list("slot", flat=True))
    assert len(slots) == len(set(slots)) == count + later


@pytest.mark.fault("F15")
def test_a_schedule_that_is_paused_while_it_is_due_rests_from_then_on(db, clock):
    one = row(next_run=START)
    ticking = scheduler()
    ticking.tick()
    Schedule.objects.filter(pk=one.pk).update(paused=True)
    clock.move_to(LATER)
    ticking.tick()
    assert len(sent()) == 1


# -- one bad one --------------------------------------------------------------------
@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    "bad",
    [{"args": "(1,"}, {"schedule_type": "C", "cron": "61 * * * *"}, {"func": "gone"}],
    ids=["arguments", "cron", "function"],
)
def test_one_bad_schedule_among_a_hundred(db, clock, bad):
    rows = [row(next_run=START, name=f"n{n}") for n in range(99)]
    worst = row(next_run=START - dt.timedelta(hours=1), **bad)
    ticking = scheduler()
    for _ in range(failures.MAX_TRIES):
        ticking.tick()
        worst.refresh_from_db()
        clock.move_to(worst.retry_at)
    names = [task.group for task in sent()]
    assert sorted(names) == sorted(one.name for one in rows)
    assert (worst.tries, worst.paused) == (failures.MAX_TRIES, True)
    assert worst.error
