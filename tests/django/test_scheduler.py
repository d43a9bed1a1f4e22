"""The scheduler: each slot is sent once, and nothing stops it."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from collections.abc import Iterator

import pytest
import time_machine
from django.db import IntegrityError, OperationalError, connection
from django.test import override_settings
from django.utils import timezone

from qcore.brokers.memory import MemoryBroker
from qcore.errors import (
    BrokerUnavailable,
    EnqueueError,
    PayloadTooLarge,
    StoreError,
)
from qcore.models import Schedule, ScheduleSlot
from qcore.runtime import current
from qcore.schedules import failures, firing, orm, outbox, outlook
from qcore.schedules.orm import OrmScheduler
from qcore.tasks import schedule
from qcore.tasks.execute import decode

#: A Thursday.
NOW = dt.datetime(2026, 1, 1, 12, 0, 30, tzinfo=dt.UTC)
MEMORY = "qcore.brokers.memory.MemoryBroker"
SETTINGS = {"name": "tests", "broker_class": MEMORY}


@pytest.fixture(autouse=True)
def settings_of_the_cluster() -> Iterator[None]:
    with override_settings(Q_CLUSTER=SETTINGS):
        yield


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def scheduler(**conf) -> OrmScheduler:
    with override_settings(Q_CLUSTER=SETTINGS | conf):
        return OrmScheduler(current.conf)


def sent(queue: str | None = None) -> list:
    """Return the tasks of a queue, and empty it."""
    broker = current.broker(queue)
    deliveries = broker.dequeue(1000)
    broker.acknowledge_many([d.receipt for d in deliveries])
    return [current.signer.verify(d.package, broker.queue) for d in deliveries]


def hourly(**fields) -> Schedule:
    due = {
        "next_run": NOW.replace(minute=0, second=0),
        "schedule_type": Schedule.HOURLY,
    }
    return Schedule.objects.create(
        **({"func": "math.sqrt", "args": "[4]"} | due | fields)
    )


# -- firing ------------------------------------------------------------------------------
def test_a_due_schedule_is_sent_and_moves_on(db, clock):
    row = hourly(name="roots", kwargs='{"x": {"$": "date", "v": "2026-02-03"}}',
                 func="shop.tasks.root", hook="shop.tasks.done")  # fmt: skip
    scheduler().tick()
    (task,) = sent()
    assert task.func == "shop.tasks.root"
    assert decode(task) == ([4], {"x": dt.date(2026, 2, 3)})
    assert (task.group, task.hook, task.queue) == ("roots", "shop.tasks.done", "tests")
    assert task.slot == row.next_run.timestamp()
    row.refresh_from_db()
    assert row.next_run == NOW.replace(hour=13, minute=0, second=0)
    assert (row.task, row.repeats) == (task.id, -1)
    slot = ScheduleSlot.objects.get()
    assert (slot.schedule, slot.task_id) == (row, task.id)
    assert slot.sent is not None
    assert bytes(slot.package) == b""


def test_what_a_cluster_prepares_its_ticks_need_not(
    db, monkeypatch, django_assert_num_queries
):
    """So the statement is put together before the fork, and asks no database there."""
    monkeypatch.setattr(outlook, "_statements", {})
    with django_assert_num_queries(0):
        scheduler().prepare()
    monkeypatch.delattr(outlook.Outlook, "_put_together")
    with django_assert_num_queries(1):
        assert scheduler().tick() == orm.LOOK


def test_a_cluster_starts_while_the_database_is_away(db, monkeypatch):
    monkeypatch.setattr(outlook, "_statements", {})

    def refuse(self, now):
        raise OperationalError("gone away")

    with monkeypatch.context() as away:
        away.setattr(outlook.Outlook, "_put_together", refuse)
        scheduler().prepare()
    assert scheduler().tick() == orm.LOOK


def test_each_queue_has_a_statement_of_its_own(db, clock):
    hourly(cluster="mail")
    scheduler().tick()
    assert sent() == []
    scheduler(cluster_name="mail").tick()
    assert len(sent("mail")) == 1


def test_nothing_is_sent_before_its_time_or_twice(db, clock):
    hourly(next_run=NOW + dt.timedelta(seconds=1))
    ticking = scheduler()
    ticking.tick()
    assert sent() == []
    clock.shift(1)
    ticking.tick()
    ticking.tick()
    assert len(sent()) == 1


def test_many_that_are_due_at_once_are_sent_in_portions(db, clock, monkeypatch):
    monkeypatch.setattr(orm, "PORTION", 2)
    hourly(name="bad", func="nodots")
    for n in range(4):
        hourly(name=f"n{n}")
    ticking, found = scheduler(), []
    for _ in range(4):
        wait = ticking.tick()
        found.append((sorted(task.group for task in sent()), wait > 0))
    assert found == [
        (["n0"], False),
        (["n1", "n2"], False),
        (["n3"], True),
        ([], True),
    ]


def test_a_portion_takes_few_statements(db, clock, django_assert_max_num_queries):
    for n in range(20):
        hourly(name=f"n{n}", schedule_type=Schedule.ONCE)
    # an UPDATE for each schedule, and on SQLite one for each slot
    with django_assert_max_num_queries(60):
        scheduler().tick()
    assert len(sent()) == 20
    assert Schedule.objects.count() == 0


def test_the_group_is_the_name_or_the_key(db, clock):
    row = hourly()
    hourly(kwargs='{"q_options": {"group": "own"}}')
    scheduler().tick()
    assert {task.group for task in sent()} == {str(row.pk), "own"}


def test_options_travel_with_the_task(db, clock):
    hourly(kwargs='{"q_options": {"timeout": 9, "task_name": "n", "broker": null}}')
    scheduler().tick()
    (task,) = sent()
    assert (task.options.timeout, task.name) == (9, "n")
    assert decode(task) == ([4], {})


def test_the_intended_date_is_that_of_the_slot(db, clock):
    hourly(func="shop.tasks.report", intended_date_kwarg="day")
    clock.shift(500)
    scheduler().tick()
    assert decode(sent()[0])[1] == {"day": "2026-01-01T12:00:00+00:00"}


@pytest.mark.parametrize(
    ("repeats", "kept"), [(-1, False), (1, True), (3, True)], ids=str
)
def test_once_fires_once(db, clock, repeats, kept):
    hourly(schedule_type=Schedule.ONCE, repeats=repeats)
    ticking = scheduler()
    ticking.tick()
    clock.shift(86400)
    ticking.tick()
    assert len(sent()) == 1
    assert list(Schedule.objects.values_list("repeats", flat=True)) == [0] * kept


def test_repeats_are_counted_down(db, clock):
    row = hourly(repeats=2)
    ticking = scheduler()
    for left in (1, 0, 0):
        ticking.tick()
        row.refresh_from_db()
        assert row.repeats == left
        clock.shift(3600)
    assert len(sent()) == 2


@pytest.mark.parametrize(("catch_up", "count"), [(True, 4), (False, 1)])
def test_missed_slots(db, clock, catch_up, count):
    hourly()
    clock.shift(3 * 3600)
    scheduler(catch_up=catch_up).tick()
    tasks = sent()
    assert len(tasks) == count
    assert tasks[-1].slot == NOW.replace(hour=15, minute=0, second=0).timestamp()
    assert Schedule.objects.get().next_run.hour == 16


def test_catching_up_is_bounded_and_goes_on(db, clock):
    hourly(schedule_type=Schedule.MINUTES, minutes=1)
    clock.shift(250 * 60)
    ticking = scheduler()
    assert ticking.tick() == 0
    assert len(sent()) == firing.BURST
    ticking.tick()
    ticking.tick()
    assert len(sent()) == 251 - firing.BURST


def test_a_missed_schedule_does_not_repeat_more_often_than_it_may(db, clock):
    hourly(repeats=2)
    clock.shift(10 * 3600)
    scheduler().tick()
    assert len(sent()) == 2


def test_a_monthly_schedule_keeps_its_day(db):
    row = hourly(
        schedule_type=Schedule.MONTHLY,
        next_run=dt.datetime(2026, 1, 31, 8, tzinfo=dt.UTC),
    )
    days = []
    with time_machine.travel(row.next_run, tick=False) as clock:
        for _ in range(3):
            scheduler().tick()
            row.refresh_from_db()
            days.append((row.next_run.month, row.next_run.day))
            clock.move_to(row.next_run)
    assert days == [(2, 28), (3, 31), (4, 30)]


def test_an_edited_time_begins_a_new_grid(db, clock):
    row = hourly()
    scheduler().tick()
    row.refresh_from_db()
    row.next_run = NOW + dt.timedelta(minutes=20)
    row.save()
    clock.shift(20 * 60)
    scheduler().tick()
    row.refresh_from_db()
    assert row.next_run == NOW + dt.timedelta(minutes=80)


def test_paused_and_finished_schedules_rest(db, clock):
    hourly(paused=True)
    hourly(repeats=0)
    assert scheduler().tick() == orm.LOOK
    assert sent() == []


@override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo")
def test_without_time_zones_all_is_local(transactional_db, clock):
    connection.close()
    try:
        row = hourly(next_run=dt.datetime(2026, 1, 1, 21))
        scheduler().tick()
        assert sent()[0].slot == NOW.replace(minute=0, second=0).timestamp()
        row.refresh_from_db()
        assert row.next_run == dt.datetime(2026, 1, 1, 22)
    finally:
        connection.close()


# -- whose schedule it is ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("conf", "fired"),
    [({}, {"default"}), ({"cluster_name": "long"}, {"long"})],
    ids=["own queue", "another queue"],
)
def test_a_cluster_fires_its_own_schedules(db, clock, conf, fired):
    hourly(name="default")
    hourly(name="long", cluster="long")
    hourly(name="other", cluster="other")
    scheduler(**conf).tick()
    assert {
        task.group for name in ("tests", "long", "other") for task in sent(name)
    } == fired


def test_the_projects_own_cluster_may_be_named(db, clock):
    hourly(cluster="tests")
    scheduler().tick()
    assert len(sent("tests")) == 1


# -- once ----------------------------------------------------------------------------------
@pytest.mark.fault("F1")
def test_two_clusters_that_saw_the_same_row_send_it_once(db, clock, monkeypatch):
    hourly()
    first, second = scheduler(), scheduler()
    seen = list(second._due(timezone.now()))
    first.tick()
    monkeypatch.setattr(second, "_due", lambda now: seen)
    second.tick()
    assert len(sent()) == 1


def test_a_slot_that_has_fired_does_not_fire_again(db, clock):
    row = hourly()
    before = row.next_run
    ticking = scheduler()
    ticking.tick()
    Schedule.objects.update(next_run=before)  # somebody saved an old form
    ticking.tick()
    (task,) = sent()
    row.refresh_from_db()
    assert row.next_run > NOW
    assert f"was sent before (task {task.id}), and is not sent again" in row.error
    clock.move_to(row.next_run)
    ticking.tick()
    assert len(sent()) == 1
    row.refresh_from_db()
    assert row.error == ""


def test_a_slot_is_known_by_its_second(db, clock):
    """The form of the admin has no fractions, and brings the slot back without them."""
    row = hourly(next_run=NOW - dt.timedelta(seconds=1.5))
    ticking = scheduler()
    ticking.tick()
    Schedule.objects.update(next_run=row.next_run.replace(microsecond=0))
    ticking.tick()
    assert len(sent()) == 1


def test_a_slot_that_has_fired_counts_no_second_time(db, clock):
    row = hourly(repeats=3)
    ticking = scheduler()
    ticking.tick()
    Schedule.objects.update(next_run=row.next_run)
    ticking.tick()
    row.refresh_from_db()
    assert (len(sent()), row.repeats) == (1, 2)


def test_once_that_is_set_back_to_its_slot_stays_and_says_why(db, clock):
    row = hourly(schedule_type=Schedule.ONCE, repeats=2)
    ticking = scheduler()
    ticking.tick()
    Schedule.objects.update(repeats=-1)
    ticking.tick()
    row.refresh_from_db()
    assert (len(sent()), row.repeats) == (1, 0)
    assert "is not sent again" in row.error


def test_ten_clusters_at_the_same_moment(transactional_db):
    if connection.vendor == "sqlite":
        pytest.skip("threads share one SQLite database in memory")
    for _ in range(20):
        hourly()
    start = threading.Barrier(5)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            ticking = OrmScheduler(current.conf)
            start.wait()
            for _ in range(4):
                try:
                    ticking.tick()
                except StoreError:
                    continue  # a deadlock: the next tick tries again
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)
        finally:
            connection.close()

    with time_machine.travel(NOW, tick=False):
        threads = [threading.Thread(target=run) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        scheduler().tick()
    assert errors == []
    tasks = sent()
    assert len(tasks) == len({task.id for task in tasks}) == 20


# -- the outbox ------------------------------------------------------------------------------
class Down(MemoryBroker):
    """A broker that cannot be reached while ``error`` is set."""

    error: Exception | None = None
    max_batch = 2

    def enqueue_many(self, packages, *, delay=0):
        if self.error is not None:
            raise self.error
        return super().enqueue_many(packages, delay=delay)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> type[Down]:
    monkeypatch.setattr(current, "broker", lambda queue=None: Down(current.conf, queue))
    monkeypatch.setattr(Down, "error", BrokerUnavailable("the broker is away"))
    return Down


def test_what_could_not_be_sent_is_sent_later(db, clock, down, monkeypatch):
    for _ in range(5):
        hourly()
    ticking = scheduler()
    with pytest.raises(BrokerUnavailable):
        ticking.tick()
    assert ScheduleSlot.objects.filter(sent=None).count() == 5
    assert not Schedule.objects.filter(next_run__lte=NOW).exists()
    monkeypatch.setattr(down, "error", None)
    ticking.tick()
    assert len(sent()) == 5


@pytest.mark.fault("F4")
def test_another_cluster_sends_what_a_dead_one_has_claimed(
    db, clock, down, monkeypatch
):
    hourly()
    with pytest.raises(BrokerUnavailable):
        scheduler().tick()
    ScheduleSlot.objects.update(
        claimed=timezone.now()
    )  # it died before it could release
    monkeypatch.setattr(down, "error", None)
    other = scheduler()
    other.tick()
    assert sent() == []
    clock.shift(outbox.STALE + dt.timedelta(seconds=1))
    other.tick()
    assert len(sent()) == 1


def test_an_idle_tick_asks_the_database_once(db, clock, django_assert_num_queries):
    hourly(next_run=NOW + dt.timedelta(hours=1))
    ticking = scheduler()
    ticking.tick()
    with django_assert_num_queries(1):
        ticking.tick()


def test_a_task_for_ever_too_large_is_given_up(db, clock, down, monkeypatch):
    row = hourly()
    monkeypatch.setattr(down, "error", PayloadTooLarge("300 kB, 256 are allowed"))
    scheduler().tick()
    row.refresh_from_db()
    assert "300 kB, 256 are allowed" in row.error
    assert not ScheduleSlot.objects.filter(sent=None).exists()


def test_one_queue_that_is_down_does_not_stop_the_others(db, clock, monkeypatch):
    hourly(kwargs='{"q_options": {"cluster": "away"}}')
    hourly()
    down = Down(current.conf, "away")
    monkeypatch.setattr(down, "error", BrokerUnavailable("away"))
    brokers = {"away": down, "tests": MemoryBroker(current.conf, "tests")}
    monkeypatch.setattr(current, "broker", lambda queue=None: brokers[queue or "tests"])
    ticking = scheduler()
    ticking.tick()
    assert len(sent()) == 1
    rest = ticking._outbox._rests["away"]
    rest.until = math.inf  # it pauses, for however long the test takes
    ticking.tick()
    monkeypatch.setattr(down, "error", None)
    rest.until = 0.0  # the pause is over
    ticking.tick()
    assert len(sent("away")) == 1


def test_a_broker_in_the_same_database_sends_and_notes_at_once(
    transactional_db, clock, monkeypatch
):
    open_transactions = []

    class SameDatabase(MemoryBroker):
        database = "default"

        def enqueue_many(self, packages, *, delay=0):
            open_transactions.append(connection.in_atomic_block)
            return super().enqueue_many(packages, delay=delay)

    monkeypatch.setattr(
        current, "broker", lambda queue=None: SameDatabase(current.conf)
    )
    hourly()
    scheduler().tick()
    assert open_transactions == [True]


def test_old_slots_are_forgotten(db, clock):
    hourly()
    ticking = scheduler()
    ticking.tick()
    ticking._outbox.forget()
    assert ScheduleSlot.objects.count() == 1
    clock.shift(outbox.KEPT + dt.timedelta(hours=1))
    ticking._outbox.forget()
    assert ScheduleSlot.objects.count() == 0


@pytest.mark.fault("F17")
def test_slots_are_forgotten_as_fast_as_they_come(db, clock, monkeypatch):
    """Whatever their number: a call that leaves some is followed by another one soon."""
    monkeypatch.setattr(outbox, "BATCH", 10)
    row, old = hourly(next_run=NOW + dt.timedelta(days=9)), NOW - 2 * outbox.KEPT
    ScheduleSlot.objects.bulk_create(
        ScheduleSlot(schedule=row, slot=old + dt.timedelta(minutes=n), sent=old,
                     task_id=f"{n:032x}", queue="tests", package=b"")
        for n in range(12 * outbox.ROUNDS)
    )  # fmt: skip
    ticking = scheduler()
    ticking._forget_at = 0.0  # it is time
    ticking.tick()
    assert ScheduleSlot.objects.count() == 2 * outbox.ROUNDS
    assert ticking._forget_at <= time.monotonic() + orm.SOON
    ticking._forget_at = 0.0
    ticking.tick()
    assert ScheduleSlot.objects.count() == 0


@pytest.mark.fault("F15")
def test_a_schedule_deleted_after_it_fired_is_sent_all_the_same(
    db, clock, down, monkeypatch
):
    row = hourly()
    with pytest.raises(BrokerUnavailable):
        scheduler().tick()
    row.delete()
    monkeypatch.setattr(down, "error", None)
    scheduler().tick()
    assert len(sent()) == 1


# -- bad schedules ---------------------------------------------------------------------------
@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"args": "(1, 2)"}, "args"),
        ({"args": '{"a": 1}'}, "expected a JSON list"),
        ({"kwargs": "[1]"}, "kwargs"),
        ({"kwargs": '{"q_options": {"timeou": 1}}'}, "timeout"),
        ({"schedule_type": "C", "cron": "61 * * * *"}, "minute 61"),
        ({"schedule_type": "I", "minutes": 0}, "minutes"),
        ({"schedule_type": "ZZ"}, "ZZ"),
        ({"func": "no path"}, "no path"),
    ],
)
def test_a_bad_schedule_shows_its_error_and_stops_no_other(db, clock, fields, error):
    bad = hourly(next_run=NOW - dt.timedelta(hours=1), **fields)
    good = [hourly() for _ in range(3)]
    scheduler().tick()
    assert {task.group for task in sent()} == {str(row.pk) for row in good}
    bad.refresh_from_db()
    assert error in bad.error
    assert (bad.tries, bad.paused) == (1, False)


def test_a_bad_schedule_is_tried_again_later_and_paused_in_the_end(db, clock):
    bad = hourly(args="broken")
    ticking = scheduler()
    assert ticking.tick() == orm.LOOK  # it is not looked at again and again
    for tries in range(2, failures.MAX_TRIES + 1):
        ticking.tick()
        bad.refresh_from_db()
        assert bad.tries == tries - 1
        clock.move_to(bad.retry_at)
        ticking.tick()
        bad.refresh_from_db()
        assert bad.tries == tries
    assert bad.paused is True
    assert "args" in bad.error


def test_a_repaired_schedule_runs_at_once(db, clock):
    row = hourly(args="broken")
    ticking = scheduler()
    ticking.tick()
    row.refresh_from_db()
    row.args = "[9]"
    row.full_clean()
    row.save()
    ticking.tick()
    assert decode(sent()[0])[0] == [9]
    row.refresh_from_db()
    assert (row.error, row.tries) == ("", 0)


def test_a_function_that_is_not_admitted_is_not_sent(db, clock):
    row = hourly(func="os.system", args='["true"]')
    with override_settings(Q_CLUSTER=SETTINGS | {"allowed_tasks": ["shop"]}):
        OrmScheduler(current.conf).tick()
        assert sent() == []
    row.refresh_from_db()
    assert "allowed_tasks" in row.error


def test_a_database_that_fails_is_a_store_error(db, clock):
    def broken(execute, statement, params, many, context):
        raise OperationalError("gone")

    hourly()
    with connection.execute_wrapper(broken), pytest.raises(StoreError, match="gone"):
        scheduler().tick()
    scheduler().tick()
    assert len(sent()) == 1


def test_tables_that_are_missing_are_told_with_what_to_type(transactional_db):
    run = r"Run: python manage\.py migrate --database=default"
    table, other = Schedule._meta.db_table, "qcore_elsewhere"
    with connection.schema_editor() as editor:
        editor.alter_db_table(Schedule, table, other)
    try:
        with pytest.raises(StoreError, match=run):
            schedule("math.sqrt", 4)
        with pytest.raises(StoreError, match=run):
            scheduler().tick()
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Schedule, other, table)


# -- when to look again ------------------------------------------------------------------------
def test_the_next_look_is_when_something_is_due(db, clock):
    ticking = scheduler()
    assert ticking.tick() == orm.LOOK
    hourly(next_run=NOW + dt.timedelta(hours=1))
    assert ticking.tick() == orm.LOOK
    hourly(next_run=NOW + dt.timedelta(seconds=0.25))
    assert ticking.tick() == pytest.approx(0.25)


# -- schedule() ----------------------------------------------------------------------------
def test_a_new_schedule_has_what_was_asked(db, clock):
    row = schedule(
        "shop.tasks.report",
        1,
        dt.date(2026, 1, 2),
        name="reports",
        hook="shop.tasks.done",
        schedule_type=Schedule.MINUTES,
        minutes=5,
        repeats=7,
        colour="red",
        q_options={"timeout": 5},
    )
    row.refresh_from_db()
    assert row.next_run == NOW
    assert (row.name, row.hook, row.minutes, row.repeats) == (
        "reports",
        "shop.tasks.done",
        5,
        7,
    )
    assert row.entry.call() == (
        [1, dt.date(2026, 1, 2)],
        {"colour": "red", "q_options": {"timeout": 5}},
    )


def test_a_function_is_stored_by_its_path(db):
    assert schedule(dt.timedelta, 1).func == "datetime.timedelta"


def test_a_cron_begins_at_its_next_slot(db, clock):
    row = schedule("math.sqrt", 4, schedule_type=Schedule.CRON, cron="30 2 * * *")
    assert row.next_run == dt.datetime(2026, 1, 2, 2, 30, tzinfo=dt.UTC)
    later = NOW + dt.timedelta(days=9)
    own = schedule("math.sqrt", 4, schedule_type="C", cron="@daily", next_run=later)
    assert own.next_run == later


def test_a_cron_is_read_in_the_zone_of_the_project(db, clock):
    with override_settings(Q_CLUSTER=SETTINGS | {"time_zone": "Asia/Tokyo"}):
        row = schedule("math.sqrt", 4, schedule_type="C", cron="0 9 * * *")
    assert row.next_run == dt.datetime(2026, 1, 2, 0, tzinfo=dt.UTC)


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"schedule_type": "C", "cron": "61 * * * *"}, "cron: .*minute 61"),
        ({"schedule_type": "C"}, "cron"),
        ({"schedule_type": "I"}, "minutes"),
        ({"schedule_type": "X"}, "schedule_type"),
        ({"hook": "nodots"}, "nodots"),
        ({"q_options": {"gruop": "x"}}, "did you mean 'group'"),
        ({"intended_date_kwarg": "no name"}, "intended_date_kwarg"),
        ({"x": object()}, "cannot schedule"),
        ({"name": "n" * 200}, "name"),
        # in another zone they are no dates, and every look at them raised OverflowError
        (
            {"next_run": dt.datetime(1, 1, 1, tzinfo=dt.UTC)},
            "the year 1, expected 1900",
        ),
        ({"next_run": dt.datetime(9999, 12, 31, 23, 59)}, "the year 9999, expected"),
    ],
)
def test_what_could_not_run_is_refused(db, options, error):
    with pytest.raises(EnqueueError, match=error):
        schedule("shop.tasks.report", **options)
    assert not Schedule.objects.exists()


def test_arguments_that_do_not_fit_are_refused(db):
    with pytest.raises(EnqueueError, match="signature"):
        schedule("qcore.envelope.task_name", 1, 2, 3)


def test_a_name_is_given_once(db):
    schedule("math.sqrt", 4, name="roots")
    with pytest.raises(IntegrityError, match=r"'roots' already\. Choose another name"):
        schedule("math.sqrt", 4, name="roots")
    schedule("math.sqrt", 4)
    schedule("math.sqrt", 4, name="")
    schedule("math.sqrt", 4, name="")
    assert Schedule.objects.count() == 4


@pytest.mark.parametrize("option", ["timeout", "group", "max_attempts", "delay"])
def test_a_wrong_option_is_refused_when_the_schedule_is_made(db, option):
    with pytest.raises(EnqueueError, match=f"option '{option}' is \\[\\]"):
        schedule("chores.kind.add", 1, q_options={option: []})
    assert not Schedule.objects.exists()
