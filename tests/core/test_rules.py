"""Schedules run when people expect, across month ends, leap days and clock changes."""

from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore.conf.names import quoted
from qcore.errors import ConfigError
from qcore.schedules import rules
from qcore.schedules.rules import (
    LABELS,
    Rule,
    due_slots,
    explain,
    next_run,
    reanchor,
    validate_cron,
)

BERLIN = ZoneInfo("Europe/Berlin")
UTC = dt.UTC


def at(text: str, zone: dt.tzinfo | None = None) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone)


def run(rule: Rule, after: dt.datetime, count: int) -> list[dt.datetime]:
    found = []
    while len(found) < count:
        slot = next_run(rule, after)
        assert slot is not None
        found.append(slot)
        after = slot
    return found


def walls(slots: list[dt.datetime]) -> list[str]:
    return [f"{slot:%Y-%m-%d %H:%M}" for slot in slots]


def days(slots: list[dt.datetime]) -> list[str]:
    return [f"{slot:%Y-%m-%d}" for slot in slots]


# --- the calendar ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("D", ["2026-02-01", "2026-02-02", "2026-02-03"]),
        ("W", ["2026-02-07", "2026-02-14", "2026-02-21"]),
        ("BW", ["2026-02-14", "2026-02-28", "2026-03-14"]),
        ("M", ["2026-02-28", "2026-03-31", "2026-04-30"]),
        ("BM", ["2026-03-31", "2026-05-31", "2026-07-31"]),
        ("Q", ["2026-04-30", "2026-07-31", "2026-10-31"]),
        ("Y", ["2027-01-31", "2028-01-31", "2029-01-31"]),
    ],
)
def test_types_of_a_day_and_more(kind: str, expected: list[str]) -> None:
    anchor = at("2026-01-31 09:15", BERLIN)
    slots = run(Rule(type=kind, anchor=anchor, zone=BERLIN), anchor, 3)
    assert walls(slots) == [f"{day} 09:15" for day in expected]


def test_minutes_and_hours() -> None:
    anchor = at("2026-01-01 00:10")
    every = Rule(type="I", minutes=25, anchor=anchor)
    assert walls(run(every, at("2026-01-01 00:59"), 2)) == [
        "2026-01-01 01:00",
        "2026-01-01 01:25",
    ]
    assert next_run(Rule(type="H", anchor=anchor), anchor) == at("2026-01-01 01:10")


def test_once_runs_at_its_anchor_and_never_again() -> None:
    anchor = at("2026-01-01 12:00")
    rule = Rule(type="O", anchor=anchor)
    assert next_run(rule, at("2025-01-01 00:00")) == anchor
    assert next_run(rule, anchor) is None
    assert due_slots(rule, anchor, anchor) == ([anchor], None)


@pytest.mark.fault("F14")
def test_the_31st_comes_back_after_a_leap_february() -> None:
    anchor = at("2027-12-31 23:59", BERLIN)
    slots = run(Rule(type="M", anchor=anchor, zone=BERLIN), anchor, 4)
    assert days(slots) == ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"]


@pytest.mark.fault("F14")
def test_the_leap_day_comes_back_every_fourth_year() -> None:
    anchor = at("2024-02-29 08:00", UTC)
    slots = run(Rule(type="Y", anchor=anchor, zone=UTC), anchor, 4)
    assert days(slots) == ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]


@pytest.mark.fault("F14")
@pytest.mark.parametrize("zone", [None, UTC, BERLIN, ZoneInfo("Asia/Tokyo")])
@pytest.mark.parametrize("kind", list(LABELS))
def test_the_calendar_ends_without_a_crash(kind: str, zone: dt.tzinfo | None) -> None:
    last = dt.datetime(9999, 12, 31, 23, 59, tzinfo=UTC if zone else None)
    rule = Rule(
        type=kind, minutes=5, seconds=5, cron="0 0 1 1 *", anchor=last, zone=zone
    )
    assert next_run(rule, last + dt.timedelta(seconds=55)) is None


@pytest.mark.fault("F14")
def test_a_changed_time_zone_moves_on_from_the_stored_anchor() -> None:
    anchor = at("2026-01-01 12:00", UTC)
    berlin = Rule(type="D", anchor=anchor, zone=BERLIN)
    slot = next_run(berlin, anchor)
    assert slot is not None
    tokyo = Rule(type="D", anchor=anchor, zone=ZoneInfo("Asia/Tokyo"))
    naive = Rule(type="D", anchor=anchor)
    assert next_run(tokyo, slot) == at("2026-01-03 12:00", UTC)
    assert next_run(naive, at("2026-01-02 00:00")) == at("2026-01-02 12:00")


# --- clock changes -----------------------------------------------------------------


@pytest.mark.fault("F5")
@pytest.mark.parametrize(
    "rule",
    [
        Rule(type="D", anchor=at("2026-03-27 02:30", BERLIN), zone=BERLIN),
        Rule(type="C", cron="30 2 * * *", zone=BERLIN),
    ],
    ids=["daily", "cron"],
)
def test_a_time_in_the_gap_fires_once_when_the_gap_ends(rule: Rule) -> None:
    slots = run(rule, at("2026-03-27 12:00", BERLIN), 3)
    assert walls(slots) == ["2026-03-28 02:30", "2026-03-29 03:00", "2026-03-30 02:30"]
    assert slots[1].astimezone(UTC) == at("2026-03-29 01:00", UTC)


@pytest.mark.fault("F6")
@pytest.mark.parametrize(
    "rule",
    [
        Rule(type="D", anchor=at("2026-10-23 02:30", BERLIN), zone=BERLIN),
        Rule(type="C", cron="30 2 * * *", zone=BERLIN),
    ],
    ids=["daily", "cron"],
)
def test_a_repeated_time_fires_once(rule: Rule) -> None:
    slots = run(rule, at("2026-10-24 12:00", BERLIN), 2)
    assert walls(slots) == ["2026-10-25 02:30", "2026-10-26 02:30"]
    assert slots[0].astimezone(UTC) == at("2026-10-25 00:30", UTC)
    second = at("2026-10-25 02:10", BERLIN).replace(fold=1)
    assert next_run(rule, second) == slots[1]


@pytest.mark.fault("F7")
@pytest.mark.parametrize(
    ("day", "half_hours"), [("2026-03-29", 46), ("2026-10-25", 50), ("2026-06-01", 48)]
)
@pytest.mark.parametrize(
    "rule",
    [
        Rule(type="I", minutes=30, anchor=at("2026-01-01 00:00", BERLIN), zone=BERLIN),
        Rule(type="C", cron="*/30 * * * *", zone=BERLIN),
    ],
    ids=["minutes", "cron"],
)
def test_intervals_count_real_time(rule: Rule, day: str, half_hours: int) -> None:
    start = at(f"{day} 00:00", BERLIN).astimezone(UTC) - dt.timedelta(seconds=1)
    slots = run(rule, start, 60)
    assert [f"{slot:%Y-%m-%d}" for slot in slots].count(day) == half_hours


@pytest.mark.fault("F5")
def test_midnight_that_does_not_exist() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # 2026-04-24 begins at 01:00
    for rule in (
        Rule(type="D", anchor=at("2026-04-01 00:00", cairo), zone=cairo),
        Rule(type="C", cron="@daily", zone=cairo),
        Rule(type="C", cron="* * 24 4 *", zone=cairo),
    ):
        slot = next_run(rule, at("2026-04-23 23:59", cairo))
        assert slot is not None
        assert slot.astimezone(UTC) == at("2026-04-23 22:00", UTC)


def test_a_day_that_does_not_exist_is_no_second_slot() -> None:
    apia = ZoneInfo("Pacific/Apia")  # there was no 2011-12-30
    rule = Rule(type="D", anchor=at("2011-12-28 00:00", apia), zone=apia)
    slots = run(rule, at("2011-12-28 12:00", apia), 3)
    assert days(slots) == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_a_naive_anchor_is_wall_time_in_the_zone() -> None:
    rule = Rule(type="D", anchor=at("2026-01-01 08:00"), zone=BERLIN)
    slot = next_run(rule, at("2026-06-01 00:00", BERLIN))
    assert slot == at("2026-06-01 08:00", BERLIN)


# --- properties --------------------------------------------------------------------

ZONES = ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Tehran"]
zones = st.none() | st.sampled_from(ZONES).map(ZoneInfo)
moments = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2040, 1, 1))
CRONS = [
    "30 2 * * *",
    "*/7 * * * *",
    "0 */2 * * *",
    "0,30 1-3 * * *",
    "0 0 31 * *",
    "0 0 L * *",
    "59 23 29 2 *",
    "0 12 * * MON#2",
]


@st.composite
def any_rules(draw: st.DrawFn) -> Rule:
    zone = draw(zones)
    anchor = draw(moments)
    if zone is not None:
        anchor = anchor.replace(tzinfo=zone, fold=draw(st.integers(0, 1)))
    return Rule(
        type=draw(st.sampled_from([kind for kind in LABELS if kind != "O"])),
        minutes=draw(st.integers(1, 100_000)),
        seconds=draw(st.integers(1, 1_000_000)),
        cron=draw(st.sampled_from(CRONS)),
        anchor=anchor,
        zone=zone,
    )


def instant(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC)


@st.composite
def rules_and_moments(draw: st.DrawFn) -> tuple[Rule, dt.datetime]:
    rule = draw(any_rules())
    moment = draw(moments)
    return rule, moment.replace(tzinfo=UTC if rule.zone else None)


@pytest.mark.fault("F14")
@settings(max_examples=300)
@given(rules_and_moments())
def test_slots_come_strictly_one_after_the_other(
    given_: tuple[Rule, dt.datetime],
) -> None:
    rule, after = given_
    slots = [instant(slot) for slot in run(rule, after, 8)]
    assert instant(after) < slots[0]
    assert all(one < two for one, two in itertools.pairwise(slots))


@settings(max_examples=300)
@given(rules_and_moments())
def test_no_slot_lies_between_a_moment_and_its_next_run(
    given_: tuple[Rule, dt.datetime],
) -> None:
    rule, after = given_
    (slot,) = run(rule, after, 1)
    middle = instant(after) + (instant(slot) - instant(after)) / 2
    assert next_run(rule, middle) == slot
    assert reanchor(rule, slot) is rule


@settings(max_examples=300)
@given(any_rules().filter(lambda rule: rule.type in ("D", "W", "BW")), moments)
def test_slots_of_days_keep_the_wall_time_or_follow_a_gap(
    rule: Rule, after: dt.datetime
) -> None:
    assert rule.anchor is not None
    wall = reread(rule, rule.anchor)
    (slot,) = run(rule, after.replace(tzinfo=rule.zone), 1)
    if slot.time() == wall.time():
        step = {"D": 1, "W": 7, "BW": 14}[rule.type]
        assert (slot.date() - wall.date()).days % step == 0
    else:
        assert rule.zone is not None
        before = (instant(slot) - dt.timedelta(seconds=1)).astimezone(rule.zone)
        assert before.utcoffset() != slot.utcoffset()
        assert before.time() < wall.time() or before.date() < slot.date()


def reread(rule: Rule, moment: dt.datetime) -> dt.datetime:
    """Return the moment as the clocks show it: it may have been drawn in a gap."""
    return moment if rule.zone is None else instant(moment).astimezone(rule.zone)


@settings(max_examples=200)
@given(rules_and_moments(), st.integers(0, 20), st.integers(1, 5))
def test_catching_up_in_bursts_misses_nothing_and_repeats_nothing(
    given_: tuple[Rule, dt.datetime], missed: int, limit: int
) -> None:
    rule, after = given_
    expected = run(rule, after, missed + 2)
    due: dt.datetime | None = expected[0]
    now = expected[missed]
    fired: list[dt.datetime] = []
    while due is not None and instant(due) <= instant(now):
        slots, due = due_slots(rule, due, now, limit=limit)
        assert 1 <= len(slots) <= limit
        fired += slots
    assert fired == expected[:-1]
    assert due == expected[-1]


@settings(max_examples=200)
@given(rules_and_moments(), st.integers(0, 20))
def test_without_catching_up_only_the_latest_slot_is_fired(
    given_: tuple[Rule, dt.datetime], missed: int
) -> None:
    rule, after = given_
    expected = run(rule, after, missed + 2)
    now = instant(expected[missed]) + dt.timedelta(microseconds=1)
    found = due_slots(rule, expected[0], now, catch_up=False)
    assert found == ([expected[-2]], expected[-1])


# --- what is due -------------------------------------------------------------------


@pytest.mark.fault("F10")
def test_three_days_down_and_a_minutely_schedule() -> None:
    start = at("2026-01-01 00:00", UTC)
    now = start + dt.timedelta(days=3)
    rule = Rule(type="I", minutes=1, anchor=start, zone=UTC)
    slots, due = due_slots(rule, start, now, catch_up=True, limit=50)
    assert slots == [start + dt.timedelta(minutes=number) for number in range(50)]
    assert due == start + dt.timedelta(minutes=50)
    slots, due = due_slots(rule, start, now, catch_up=False)
    assert (slots, due) == ([now], now + dt.timedelta(minutes=1))


@pytest.mark.fault("F10")
def test_the_latest_of_ten_missed_years_is_found_by_bisection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    original = rules.next_run

    def counted(rule: Rule, after: dt.datetime) -> dt.datetime | None:
        asked.append(after)
        return original(rule, after)

    monkeypatch.setattr(rules, "next_run", counted)
    rule = Rule(type="C", cron="* * * 1 *", zone=BERLIN)
    start = at("2016-01-01 00:00", BERLIN)
    slots, due = due_slots(rule, start, at("2026-07-01", BERLIN), catch_up=False)
    assert walls(slots) == ["2026-01-31 23:59"]
    assert due == at("2027-01-01 00:00", BERLIN)
    assert len(asked) < 100


def test_nothing_is_due_before_its_time() -> None:
    due = at("2026-01-02 00:00", UTC)
    rule = Rule(type="D", anchor=due, zone=UTC)
    assert due_slots(rule, due, at("2026-01-01 23:59", UTC)) == ([], due)


def test_an_edited_next_run_fires_as_it_is_and_begins_a_new_grid() -> None:
    rule = Rule(type="M", anchor=at("2026-01-31 08:00"))
    edited = at("2026-03-15 10:00")
    assert due_slots(rule, edited, edited)[0] == [edited]
    assert reanchor(rule, at("2026-02-28 08:00")) is rule
    assert next_run(reanchor(rule, edited), edited) == at("2026-04-15 10:00")


# --- cron --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 9 * * MON-FRI", "2026-01-05 09:00"),
        ("0 9 * jun-aug *", "2026-06-01 09:00"),
        ("@daily", "2026-01-04 00:00"),
        ("@Weekly", "2026-01-04 00:00"),
        ("@hourly", "2026-01-03 13:00"),
        ("@monthly", "2026-02-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        (" 0 0 29 2 * ", "2028-02-29 00:00"),
    ],
)
def test_cron_takes_names_ranges_and_aliases(text: str, expected: str) -> None:
    rule = Rule(type="C", cron=text, zone=BERLIN)
    assert walls(run(rule, at("2026-01-03 12:30", BERLIN), 1)) == [expected]


def test_cron_is_read_in_the_zone_of_the_project() -> None:
    rule = Rule(type="C", cron="0 9 * * *", zone=ZoneInfo("Asia/Tokyo"))
    assert next_run(rule, at("2026-01-01 12:00", UTC)) == at("2026-01-02 00:00", UTC)


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("61 * * * *", "minute 61 is out of range 0-59"),
        ("* 24 * * *", "hour 24 is out of range 0-23"),
        ("* * 0 * *", "day-of-month 0 is out of range 1-31"),
        ("* * * 1-13 *", "month 13 is out of range 1-12"),
        ("* * * * 8", "day-of-week 8 is out of range 0-7"),
        ("0 0 31 2 *", "day-of-month 31 never comes in month 2"),
        ("* * * * * *", "6 fields, expected 5 (minute hour day-of-month month "),
        ("* * * * * *", "there is no field for seconds"),
        ("* *", "2 fields, expected 5"),
        ("", "0 fields, expected 5"),
        ("*/0 * * * *", "minute step '0' in '*/0' is not a positive number"),
        ("*/x * * * *", "minute step 'X'"),
        ("30-10 * * * *", "minute range 30-10 runs backwards"),
        ("1,x * * * *", "minute 'X' is not one of 0-59"),
        ("* * * FEV *", "is not one of 1-12 or JAN-DEC - did you mean 'FEB'?"),
        ("* * * * MON#6", "asks for week '6', expected #1 to #5"),
        ("* * * * 9L", "'9L' is not one of 0-7 or SUN-SAT"),
        (f"{'9' * 5000} * * * *", "is not one of 0-59"),
        ("@dayly", "did you mean '@daily'?"),
        ("@reboot", "expected one of @yearly"),
        (None, "expected text such as '0 3 * * *'"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_cron_is_refused_with_field_and_range(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_cron(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"cron {quoted(text, 100)}: ")
    assert len(str(caught.value)) < 300


cron_words = st.text("0123456789*,-/#LWJANMO@", min_size=1, max_size=6)


@pytest.mark.fault("F13")
@settings(max_examples=500)
@given(st.lists(cron_words | st.just("*"), max_size=6).map(" ".join) | st.text())
def test_any_text_is_a_cron_with_slots_or_a_config_error(text: str) -> None:
    try:
        validate_cron(text)
    except ConfigError:
        return
    assert next_run(Rule(type="C", cron=text), at("2026-01-01 00:00")) is not None


# --- rules -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "X"}, "schedule_type 'X' is unknown"),
        ({"type": "D"}, "a schedule of type Daily needs next_run"),
        ({"type": "I", "anchor": at("2026-01-01")}, "minutes is None"),
        (
            {"type": "S", "anchor": at("2026-01-01")},
            "seconds is None, expected a whole number",
        ),
        ({"type": "I", "anchor": at("2026-01-01"), "minutes": 0}, "minutes is 0"),
        ({"type": "C"}, "0 fields"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Rule(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("O", "once on 2026-01-31 at 09:05"),
        ("S", "every 90 seconds"),
        ("I", "every 5 minutes"),
        ("H", "every hour at minute 5"),
        ("D", "every day at 09:05"),
        ("W", "every Saturday at 09:05"),
        ("BW", "every second Saturday at 09:05"),
        ("M", "every month on day 31, or the last, at 09:05"),
        ("BM", "every 2 months on day 31, or the last, at 09:05"),
        ("Q", "every 3 months on day 31, or the last, at 09:05"),
        ("Y", "every year on 31 January at 09:05"),
        ("C", "At 00:00 every day"),
    ],
)
def test_rules_are_explained(kind: str, expected: str) -> None:
    anchor = at("2026-01-31 08:05", UTC)
    rule = Rule(
        type=kind, minutes=5, seconds=90, cron="@daily", anchor=anchor, zone=BERLIN
    )
    assert explain(rule) == expected
