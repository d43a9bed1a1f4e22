"""Options of `schedule`: each is checked at the call, by its type and its range."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pytest
from django.test import override_settings
from django.utils import timezone
from django.utils.safestring import mark_safe

from qcore.errors import EnqueueError
from qcore.models import Schedule
from qcore.schedules.columns import CHECKS
from qcore.tasks import schedule


class Sly:
    """Nothing can be asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = object.__hash__


ANYTHING = [
    *(True, 1.5, math.inf, math.nan, Decimal("1.5"), 10**5000, 1j, b"x"),
    *([1], {"a": 1}, object(), dt.timedelta(1), Sly(), "x\0", "y" * 3000),
]
FURTHER = {
    "name": [5, print, "\ud800"],
    "hook": [5, "nodots"],
    "schedule_type": [5, "X", Schedule],
    "minutes": [0, -1, 2**31, "15", "soon"],
    "repeats": [2**31, "3", "ever"],
    "next_run": [0, 5, "soon", "2026-02-30", dt.time(1)],
    "cron": [5, print, "0 25 * * *"],
    "cluster": [0, 5, print, "\ud800", "q" * 256],
    "intended_date_kwarg": [5, "no name"],
}
WRONG = [(n, v) for n in CHECKS for v in (*ANYTHING, *FURTHER[n])]


def test_the_options_of_a_schedule_are_its_columns():
    columns = {field.name for field in Schedule._meta.fields if field.editable}
    rows = {"seconds", "tz", "ends", "missed", "jitter", "overlap"}  # of the admin
    assert columns - CHECKS.keys() == {"id", "func", "args", "kwargs", "paused"} | rows


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("name", "value"), WRONG, ids=[f"{n}-{type(v).__name__}" for n, v in WRONG]
)
def test_a_wrong_option_is_named_shortly_and_nothing_is_stored(db, name, value):
    others = {"schedule_type": "C"} if name == "cron" else {}
    with pytest.raises(EnqueueError, match=name) as caught:
        schedule("math.sqrt", 4, **{**others, name: value})
    assert len(str(caught.value)) < 700
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("value", [None, ""])
def test_none_and_an_empty_text_say_as_usual(db, name, value):
    row = schedule("math.sqrt", 4, **{name: value})
    usual = schedule("math.sqrt", 4)
    assert getattr(row, name) == getattr(usual, name) or name == "next_run"
    assert abs(row.next_run - usual.next_run) < dt.timedelta(minutes=10)


@pytest.mark.parametrize(
    ("given", "hour"),
    [
        (dt.date(2027, 1, 31), 15),
        ("2027-01-31", 15),
        ("2027-01-31 00:00", 15),
        ("2027-01-31T00:00:00+09:00", 15),
        ("2027-01-30 15:00Z", 15),
        (dt.datetime(2027, 1, 30, 15, tzinfo=dt.UTC), 15),
    ],
)
def test_a_moment_is_a_datetime_a_date_or_a_text(db, given, hour):
    zone = {"name": "q", "orm": "default", "time_zone": "Asia/Tokyo"}
    with override_settings(Q_CLUSTER=zone):
        row = schedule("math.sqrt", 4, next_run=given)
    assert row.next_run == dt.datetime(2027, 1, 30, hour, tzinfo=dt.UTC)


def test_what_is_stored_is_plain(db):
    row = schedule("math.sqrt", 4, name=mark_safe("safe"), minutes=5, repeats=-1)
    assert type(row.name) is str
    assert (row.schedule_type, row.minutes, row.repeats) == ("I", 5, -1)
    assert row.next_run <= timezone.now()


def test_a_long_path_is_not_repeated_in_full():
    with pytest.raises(EnqueueError, match="is not a dotted path") as caught:
        schedule("x" * 100_000)
    assert len(str(caught.value)) < 400
