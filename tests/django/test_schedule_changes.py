"""A schedule that is changed, by whatever way: its next run is of the new rule."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core import serializers
from django.core.exceptions import ValidationError
from django.test import override_settings

from qcore.errors import ConfigError, EnqueueError
from qcore.models import Schedule, ScheduleSlot
from qcore.runtime import current
from qcore.schedules.orm import OrmScheduler
from qcore.tasks import schedule

SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}
#: A Thursday.
NOW = dt.datetime(2026, 1, 1, 12, 0, 30, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)

pytestmark = [pytest.mark.django_db, pytest.mark.fault("F18")]


@pytest.fixture(autouse=True)
def settings_of_the_cluster() -> Iterator[None]:
    with override_settings(Q_CLUSTER=SETTINGS):
        yield


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW.timestamp(), tick=False) as traveller:
        yield traveller


def make(**fields: object) -> Schedule:
    usual = {"name": "one", "func": "math.sqrt", "args": "[4]"}
    return Schedule.objects.create(**(usual | fields))


def read(row: Schedule) -> Schedule:
    return Schedule.objects.get(pk=row.pk)


def tick() -> list[dt.datetime]:
    """Tick, and return the slots that have ever fired."""
    OrmScheduler(current.conf).tick()
    return list(ScheduleSlot.objects.order_by("slot").values_list("slot", flat=True))


# -- the ways -----------------------------------------------------------------------
def by_save(row: Schedule, **fields: object) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()


def by_save_of_fields(row: Schedule, **fields: object) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=list(fields))


def by_another_instance(row: Schedule, **fields: object) -> None:
    by_save(read(row), **fields)


def by_update_or_create(row: Schedule, **fields: object) -> None:
    Schedule.objects.update_or_create(name=row.name, defaults=fields)


def by_update(row: Schedule, **fields: object) -> None:
    Schedule.objects.filter(name=row.name).update(**fields)


def by_bulk_update(row: Schedule, **fields: object) -> None:
    row = read(row)
    for name, value in fields.items():
        setattr(row, name, value)
    Schedule.objects.bulk_update([row], list(fields))


def by_loaddata(row: Schedule, **fields: object) -> None:
    (told,) = json.loads(serializers.serialize("json", [row]))
    told["fields"] |= fields
    for loaded in serializers.deserialize("json", json.dumps([told])):
        loaded.save()


WAYS = [by_save, by_save_of_fields, by_another_instance, by_update_or_create, by_update,
        by_bulk_update, by_loaddata]  # fmt: skip
Way = Callable[..., None]

CHANGES = [
    ({"schedule_type": "C", "cron": "0 0 1 1 *"}, {"cron": "*/5 * * * *"}),
    ({"schedule_type": "I", "minutes": 1440, "next_run": NOW + 20 * HOUR}, {"minutes": 5}),
    ({"schedule_type": "M", "next_run": NOW + 400 * HOUR}, {"schedule_type": "H"}),
    ({"schedule_type": "D", "next_run": NOW + 9 * HOUR},
     {"schedule_type": "C", "cron": "* * * * *"}),
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(("fields", "changed"), CHANGES, ids=range(4))
def test_a_rule_that_runs_more_often(way: Way, fields, changed):
    row = make(**fields)
    before = read(row)
    way(row, **changed)
    after = read(row)
    assert {name: getattr(after, name) for name in changed} == changed
    assert NOW < after.next_run <= NOW + HOUR < before.next_run
    assert tick() == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_rule_that_runs_less_often_does_not_fire_the_old_slot(way: Way):
    row = make(schedule_type="C", cron="* * * * *", next_run=NOW.replace(second=0))
    way(row, cron="0 3 1 1 *")
    assert tick() == []
    assert read(row).next_run == dt.datetime(2027, 1, 1, 3, tzinfo=dt.UTC)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_who_changes_both_says_when(way: Way):
    row = make(schedule_type="C", cron="0 0 1 1 *")
    when = NOW + 50 * HOUR
    given = when.isoformat() if way is by_loaddata else when
    way(row, cron="*/5 * * * *", next_run=given)
    assert read(row).next_run == when


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "changed",
    [{"args": "[9]"}, {"repeats": 7}, {"cron": "* * * * *"}, {"minutes": 5}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_no_rule_changes_no_time(way: Way, changed):
    """Such as the cron of a schedule that has another type."""
    when = NOW + dt.timedelta(hours=3, milliseconds=5)
    row = make(schedule_type="D", next_run=when)
    way(row, **changed)
    assert read(row).next_run == when


def test_a_rule_keeps_its_time_of_day_and_its_day():
    row = make(schedule_type="M", next_run=dt.datetime(2026, 1, 31, 8, tzinfo=dt.UTC))
    for kind in ("D", "W", "BM", "Y"):
        by_save(row, schedule_type=kind)
        assert row.next_run.hour == 8
        assert row.next_run > NOW
    by_save(row, schedule_type="M", next_run=dt.datetime(2026, 3, 31, tzinfo=dt.UTC))
    by_save(row, schedule_type="BM")
    assert (row.next_run.month, row.next_run.day) == (1, 31)
    assert row.calculate_next_run().day == 31


@pytest.mark.parametrize("way", WAYS[:6], ids=lambda way: way.__name__)
def test_a_schedule_that_had_ended_goes_on_from_now(way: Way, clock):
    row = make(schedule_type="H", repeats=1, next_run=NOW)
    assert len(tick()) == 1
    row.refresh_from_db()
    assert row.repeats == 0
    clock.shift(100 * 3600)
    way(row, repeats=3)
    assert len(tick()) == 1
    later = read(row)
    assert later.next_run == NOW + 101 * HOUR
    assert later.repeats == 3


def test_a_rule_that_is_none_is_refused_where_it_is_saved():
    row = make(schedule_type="C", cron="0 3 * * *")
    row.cron = "61 * * * *"
    with pytest.raises(ConfigError, match="minute 61"):
        row.save()
    with pytest.raises(ConfigError, match="minute 61"):
        Schedule.objects.update(cron="61 * * * *")
    assert read(row).cron == "0 3 * * *"


# -- what is old in memory ------------------------------------------------------------
def test_an_instance_that_is_old_sets_nothing_back():
    row = make(schedule_type="H", next_run=NOW)
    old = read(row)
    assert len(tick()) == 1
    moved = read(row)
    old.name = "renamed"
    old.save()
    saved = read(row)
    assert saved.name == "renamed"
    assert (saved.next_run, saved.task) == (moved.next_run, moved.task)
    assert len(tick()) == 1


def test_a_once_that_has_run_is_not_brought_back_by_an_old_instance():
    old = read(make(next_run=NOW))
    assert len(tick()) == 1
    old.name = "renamed"
    with pytest.raises(Schedule.DoesNotExist, match="renamed no longer exists"):
        old.save()
    assert not Schedule.objects.exists()
    old.next_run = NOW + HOUR
    old.save()
    assert read(old).next_run == NOW + HOUR


def test_a_copy_is_a_schedule_of_its_own():
    row = make(schedule_type="H", next_run=NOW)
    copy = read(row)
    copy.pk, copy.name = None, "two"
    copy.save()
    assert Schedule.objects.count() == 2
    assert len(tick()) == 2


def test_a_fixture_that_is_loaded_again_sets_nothing_back(clock):
    row = make(schedule_type="D", next_run=NOW)
    fixture = serializers.serialize("json", [row])
    assert len(tick()) == 1
    for _ in range(3):
        clock.shift(86_400 * 2)
        tick()
        before, count = read(row).next_run, ScheduleSlot.objects.count()
        for loaded in serializers.deserialize("json", fixture):
            loaded.save()
        assert read(row).next_run == before
        assert len(tick()) == count


# -- what is left out, or empty -----------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"cron": "@daily"}, "C"), ({"minutes": 5}, "I"), ({}, "O"),
     ({"cron": "@daily", "schedule_type": None}, "C")],
    ids=["cron", "minutes", "neither", "None"],
)  # fmt: skip
def test_the_type_is_inferred(fields, kind):
    assert schedule("math.sqrt", 4, **fields).schedule_type == kind
    assert make(**fields).schedule_type == kind
    defaults = {"func": "math.sqrt"} | fields
    row, _ = Schedule.objects.update_or_create(name="two", defaults=defaults)
    assert row.schedule_type == kind


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cron": "@daily", "minutes": 5}, "cron and minutes are given without a"),
        ({"cron": "@daily", "schedule_type": "O"}, "runs once takes no cron: choose"),
        ({"schedule_type": "daily"}, r"'D' \(Daily\), .*did you mean 'D' \(Daily\)\?"),
        ({"schedule_type": "weakly"}, r"did you mean 'W' \(Weekly\)\?"),
        ({"schedule_type": "c", "cron": "@daily"}, r"did you mean 'C' \(Cron\)\?"),
        ({"schedule_type": 5}, "schedule_type 5 is unknown, expected one of 'O'"),
        ({"schedule_type": ["D"]}, "is unknown"),
        ({"cluster": "q" * 300}, "cluster"),
        ({"cluster": "a\0b"}, "'cluster' .*NUL"),
        ({"cluster": "\ud800"}, "'cluster' .*surrogates"),
        ({"name": "a\0b"}, "'name' .*NUL"),
        ({"q_options": {"cluster": "q" * 300}}, "300 characters"),
        ({"q_options": {"group": "a\0b"}}, "NUL"),
    ],
    ids=range(13),
)
def test_what_makes_no_sense_is_refused(options, error):
    with pytest.raises(EnqueueError, match=error):
        schedule("math.sqrt", 4, **options)
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    "name", ["a\0b", "\ud800", "q" * 300], ids=["nul", "lone", "long"]
)
def test_a_name_that_no_table_takes_is_refused_where_it_is_stored(name):
    with pytest.raises(ConfigError, match="its cluster"):
        make(cluster=name)
    row = make()
    with pytest.raises(ValidationError):
        Schedule(func="math.sqrt", cluster=name, next_run=NOW).full_clean()
    row.cluster = name
    with pytest.raises(ConfigError, match="its cluster"):
        row.save()


def test_a_schedule_of_the_empty_cluster_is_of_the_own_one():
    rows = [make(name=name, next_run=NOW) for name in ("a", "b", "c")]
    Schedule.objects.filter(name="a").update(cluster="")
    by_loaddata(rows[1], cluster="")
    # as SQL may have it
    super(type(Schedule.objects.all()), Schedule.objects.all()).update(cluster="")
    assert len(tick()) == 3


def test_many_new_ones_at_once_have_a_next_run():
    Schedule.objects.bulk_create(
        [Schedule(func="math.sqrt", cron="0 3 * * *"), Schedule(func="math.sqrt")]
    )
    first, second = Schedule.objects.order_by("-next_run")
    assert first.next_run == dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
    assert second.next_run == NOW


# -- the function -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("func", "error"),
    [
        ("wave.opne", r"has no 'opne' - did you mean 'open'\?"),
        ("wave.nested.open", "no"),
        ("sndhdrr.what.x", None),
        ("typo", "is not a dotted path"),
        ("wave.WAVE_FORMAT_PCM", "is not a function but int"),
    ],
)
def test_a_function_is_looked_up_where_its_module_is_installed(
    monkeypatch, func, error
):
    """Whether this process has imported the module before, or not."""
    import sys

    monkeypatch.delitem(sys.modules, "wave", raising=False)
    if error is None:
        assert schedule(func).func == func  # it may be where the cluster runs
        return
    with pytest.raises(EnqueueError, match=error):
        schedule(func)
    with pytest.raises(EnqueueError, match=error):
        schedule("math.sqrt", 4, hook=func)


# -- naive moments ----------------------------------------------------------------------
def test_a_naive_next_run_is_in_the_zone_of_schedules():
    naive = dt.datetime(2026, 7, 1, 9)
    with override_settings(Q_CLUSTER=SETTINGS | {"time_zone": "America/New_York"}):
        made = schedule("math.sqrt", 4, schedule_type="D", next_run=naive)
        saved = make(schedule_type="D", next_run=naive)
        saved.next_run = dt.datetime(2026, 12, 1, 9)
        saved.save()
    assert read(made).next_run == dt.datetime(2026, 7, 1, 13, tzinfo=dt.UTC)
    assert read(saved).next_run == dt.datetime(2026, 12, 1, 14, tzinfo=dt.UTC)


def test_the_next_run_may_be_a_text():
    made = schedule("math.sqrt", 4, next_run="2026-07-01 09:00")
    assert read(made).next_run == dt.datetime(2026, 7, 1, 9, tzinfo=dt.UTC)
    with pytest.raises(EnqueueError, match="next_run"):
        schedule("math.sqrt", 4, next_run="tomorrow")


# -- without USE_TZ -----------------------------------------------------------------------
ZONES = [
    ("Europe/Berlin", dt.datetime(2026, 10, 24, 20, tzinfo=dt.UTC)),
    ("America/New_York", dt.datetime(2026, 10, 31, 20, tzinfo=dt.UTC)),
    ("Australia/Lord_Howe", dt.datetime(2026, 4, 4, 10, tzinfo=dt.UTC)),
    ("Europe/Berlin", dt.datetime(2026, 3, 28, 20, tzinfo=dt.UTC)),
    ("Asia/Beirut", dt.datetime(2026, 3, 28, 16, tzinfo=dt.UTC)),
    ("Africa/Cairo", dt.datetime(2026, 10, 29, 14, tzinfo=dt.UTC)),
]


@pytest.mark.parametrize(("zone", "start"), ZONES, ids=range(6))
@pytest.mark.parametrize("aware", [True, False], ids=["aware", "naive"])
@pytest.mark.django_db(transaction=True)
def test_clock_changes_with_and_without_use_tz(clock, zone, start, aware):
    """Half hours count real time, and 9 o'clock stays 9 o'clock, on every day."""
    from django.db import connection

    with override_settings(USE_TZ=aware, TIME_ZONE=zone):
        connection.close()
        clock.move_to(start.timestamp())
        here = ZoneInfo(zone)
        first = start if aware else start.astimezone(here).replace(tzinfo=None)
        schedule("math.sqrt", 4, name="i", minutes=30, next_run=first)
        schedule("math.sqrt", 4, name="c", cron="30 2 * * *")
        nine = start.astimezone(here).replace(hour=9)
        nine = nine if aware else nine.replace(tzinfo=None)
        schedule("math.sqrt", 4, name="d", schedule_type="D",
                 next_run=nine + dt.timedelta(days=1))  # fmt: skip
        ticking, found, moment = OrmScheduler(current.conf), {}, start
        while moment < start + dt.timedelta(hours=28):
            clock.move_to(moment.timestamp() + 0.5)
            ticking.tick()
            broker = current.broker()
            for delivery in broker.dequeue(1000):
                task = current.signer.verify(delivery.package, broker.queue)
                at = dt.datetime.fromtimestamp(task.slot, dt.UTC)
                found.setdefault(task.group, []).append(at)
                assert at == moment, "each in its time"
                broker.acknowledge(delivery.receipt)
            moment += dt.timedelta(minutes=10)
        connection.close()
    assert found["i"] == [start + n * HOUR / 2 for n in range(56)]
    assert [f"{at.astimezone(here):%H:%M}" for at in found["d"]] == ["09:00"]
    assert len(found["c"]) == 1


@pytest.mark.django_db(transaction=True)
def test_the_zone_of_schedules_counts_without_use_tz(clock):
    from django.db import connection

    clock.move_to(dt.datetime(2026, 7, 1, tzinfo=dt.UTC).timestamp())
    zone = {"time_zone": "America/New_York"}
    with override_settings(
        USE_TZ=False, TIME_ZONE="Europe/Berlin", Q_CLUSTER=SETTINGS | zone
    ):
        connection.close()
        row = schedule("math.sqrt", 4, cron="0 9 * * *")
        aware = schedule(
            "math.sqrt", 4, next_run=dt.datetime(2026, 7, 2, tzinfo=dt.UTC)
        )
        assert read(row).next_run == dt.datetime(2026, 7, 1, 15)
        assert read(aware).next_run == dt.datetime(2026, 7, 2, 2)
        connection.close()
