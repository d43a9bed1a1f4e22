"""Schedules in code: declared beside a function, written to the table, fired from there."""

from __future__ import annotations

import datetime as dt
import json
import sys
import types

import pytest
import time_machine
from chores import decorated, kind
from django.core.exceptions import ImproperlyConfigured
from django.core.management.sql import emit_post_migrate_signal
from django.db import OperationalError
from django.test import override_settings
from django.urls import reverse
from support.json_schemas import validate
from support.own_modules import give_own

from qcore.cli import main
from qcore.cluster import run
from qcore.errors import ConfigError, EnqueueError, QcoreError
from qcore.models import Schedule, ScheduleSlot
from qcore.runtime import current
from qcore.schedules import cron, every, firing, outbox
from qcore.schedules import sync as sync_module
from qcore.schedules.orm import OrmScheduler
from qcore.schedules.registry import DECLARED
from qcore.schedules.sync import Change, sync
from qcore.tasks import discovery, schedule
from qcore.tasks.execute import decode

#: A Thursday.
NOW = dt.datetime(2026, 1, 1, 12, 0, 30, tzinfo=dt.UTC)
SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """Nothing is declared, and no module of tasks is looked for."""
    before = dict(DECLARED)
    DECLARED.clear()
    monkeypatch.setattr(discovery, "load_all", dict)
    with override_settings(Q_CLUSTER=SETTINGS):
        yield
    DECLARED.clear()
    DECLARED.update(before)


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def stored():
    return {row.name: row for row in Schedule.objects.all()}


def fire(queue=None):
    """Tick once, and return the tasks that were sent."""
    OrmScheduler(current.conf).tick()
    broker = current.broker(queue)
    deliveries = broker.dequeue(1000)
    broker.acknowledge_many([one.receipt for one in deliveries])
    return [current.signer.verify(one.package, broker.queue) for one in deliveries]


def times(tasks):
    moments = [dt.datetime.fromtimestamp(task.slot, dt.UTC) for task in tasks]
    return [f"{moment:%d %H:%M:%S}" for moment in moments]


def runs(row, count=3):
    return [
        f"{moment.astimezone(dt.UTC):%m-%d %H:%M:%S}" for moment in row.next_runs(count)
    ]


# -- from the code to the table -------------------------------------------------------------
def test_what_is_declared_is_written_and_fired(db, clock):
    assert every(minutes=5, args=(1,), kwargs={"right": 2})(kind.add) is kind.add
    assert cron("0 3 * * *", name="nightly")(decorated.tidy) is decorated.tidy
    assert sync() == [
        Change("chores.kind.add", "added"),
        Change("nightly", "added"),
    ]
    row = stored()["chores.kind.add"]
    assert (row.schedule_type, row.seconds, row.declared) == ("S", 300, True)
    assert runs(row) == ["01-01 12:05:00", "01-01 12:10:00", "01-01 12:15:00"]
    assert runs(stored()["nightly"], 2) == ["01-02 03:00:00", "01-03 03:00:00"]
    assert fire() == []
    clock.move_to(NOW.replace(minute=5, second=1))
    (task,) = fire()
    assert decode(task) == ([1], {"right": 2})
    assert times([task]) == ["01 12:05:00"]
    assert runs(stored()["chores.kind.add"], 1) == ["01-01 12:10:00"]


def test_a_second_sync_changes_nothing(db, clock):
    every(seconds=10)(decorated.tidy)
    sync()
    clock.move_to(NOW + dt.timedelta(seconds=9))
    before = Schedule.objects.values().get()
    assert sync() == [Change("chores.decorated.tidy", "kept")]
    assert Schedule.objects.values().get() == before


def test_options_that_the_function_declares_hold_for_its_schedule(db, clock):
    every(seconds=10)(decorated.fails)
    sync()
    clock.move_to(NOW + dt.timedelta(seconds=10))
    (task,) = fire()
    assert task.options.save is False


def test_a_changed_declaration_changes_its_row(db, clock):
    every(minutes=5, name="look")(kind.add_nothing)
    sync()
    key = stored()["look"].pk
    DECLARED.clear()
    every(minutes=7, name="look", jitter=3)(decorated.tidy)
    found = sync(dry_run=True)
    assert [one.what for one in found] == ["changed"]
    assert stored()["look"].seconds == 300
    assert sync() == [Change("look", "changed", "func, jitter, seconds")]
    row = stored()["look"]
    assert (row.pk, row.func, row.seconds, row.jitter) == (
        key,
        "chores.decorated.tidy",
        420,
        3,
    )
    first, second = row.next_runs(2)
    assert (second - first).total_seconds() == 420
    assert first.timestamp() % 420 == 0


def test_what_is_no_rule_leaves_the_next_run(db, clock):
    every(minutes=5, name="look")(kind.add_nothing)
    sync()
    before = stored()["look"].next_run
    Schedule.objects.update(error="as it was told", tries=3)
    clock.move_to(NOW + dt.timedelta(minutes=20))
    DECLARED.clear()
    every(minutes=5, name="look")(decorated.tidy)
    sync()
    row = stored()["look"]
    assert (row.next_run, row.error, row.tries) == (before, "", 0)


def test_what_is_declared_no_more_is_removed(db, clock):
    every(minutes=5)(decorated.tidy)
    by_hand = schedule("chores.kind.add_nothing", name="by hand", minutes=5)
    sync()
    DECLARED.clear()
    assert sync(dry_run=True) == [Change("chores.decorated.tidy", "removed")]
    assert len(stored()) == 2
    assert sync() == [Change("chores.decorated.tidy", "removed")]
    assert stored() == {"by hand": by_hand}


def test_a_module_that_cannot_be_imported_loses_no_schedule(db, clock):
    every(minutes=5)(decorated.tidy)
    sync()
    DECLARED.clear()
    (found,) = sync(broken={"chores.decorated": ImportError("no such driver")})
    assert found.what == "kept"
    assert "chores.decorated cannot be imported (ImportError)" in found.told
    assert len(stored()) == 1


def test_a_row_that_has_ended_stays_so(db, clock):
    every(minutes=5, end=NOW + dt.timedelta(minutes=7), name="twice")(decorated.tidy)
    sync()
    clock.move_to(NOW + dt.timedelta(minutes=6))
    assert times(fire()) == ["01 12:05:00"]
    clock.move_to(NOW + dt.timedelta(hours=1))
    assert times(fire()) == []
    row = stored()["twice"]
    assert (row.repeats, row.next_runs()) == (0, [])
    assert sync() == [Change("twice", "kept")]
    DECLARED.clear()
    every(minutes=5, end=NOW + dt.timedelta(hours=2), name="twice")(decorated.tidy)
    sync()
    assert runs(stored()["twice"], 2) == ["01-01 13:05:00", "01-01 13:10:00"]


# -- rules ------------------------------------------------------------------------------------
def test_a_zone_of_its_own(db, clock):
    """Three o'clock in Paris, on both sides of a change of the clocks."""
    cron("0 3 * * *", tz="Europe/Paris")(decorated.tidy)
    sync()
    clock.move_to(dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC))
    fire()
    row = stored()["chores.decorated.tidy"]
    assert runs(row, 2) == ["03-29 01:00:00", "03-30 01:00:00"]
    assert row.tz == "Europe/Paris"


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York"])
def test_a_zone_of_its_own_without_use_tz(db, clock, zone, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = zone
    cron("0 12 * * *", tz="UTC")(decorated.tidy)
    every(hours=24, name="daily", start=dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC))(
        decorated.tidy
    )
    sync()
    clock.move_to(NOW.replace(day=2, hour=13))
    assert times(fire()) == ["02 12:00:00"] * 2


def test_a_start(db, clock):
    every(days=1, start=dt.datetime(2026, 1, 3, 8, tzinfo=dt.UTC))(decorated.tidy)
    cron("0 12 * * *", tz="Asia/Tokyo", start=dt.datetime(2026, 2, 1), name="noon")(
        decorated.tidy
    )
    sync()
    assert runs(stored()["chores.decorated.tidy"], 2) == [
        "01-03 08:00:00",
        "01-04 08:00:00",
    ]
    assert runs(stored()["noon"], 1) == ["02-01 03:00:00"]


MISSED = {
    "all": ["01 12:05:00", "01 12:10:00", "01 12:15:00"],
    "one": ["01 12:15:00"],
    "skip": [],
    None: ["01 12:05:00", "01 12:10:00", "01 12:15:00"],
}


@pytest.mark.parametrize("missed", MISSED)
def test_runs_that_were_missed(db, clock, missed):
    every(minutes=5, missed=missed)(decorated.tidy)
    sync()
    clock.move_to(NOW.replace(minute=17))
    assert times(fire()) == MISSED[missed]
    assert runs(Schedule.objects.get(), 1) == ["01-01 12:20:00"]
    clock.move_to(NOW.replace(minute=20, second=1))
    assert times(fire()) == ["01 12:20:00"]


def test_a_run_that_is_a_little_late_was_not_missed(db, clock):
    every(minutes=5, missed="skip")(decorated.tidy)
    sync()
    clock.move_to(NOW.replace(minute=5, second=40))
    assert times(fire()) == ["01 12:05:00"]


def test_jitter_puts_a_run_off(db, clock, monkeypatch):
    give_own(monkeypatch, firing, "random", uniform=lambda low, high: high)
    every(minutes=5, jitter=dt.timedelta(seconds=60))(decorated.tidy)
    sync()
    clock.move_to(NOW.replace(minute=5, second=1))
    assert fire() == []
    assert ScheduleSlot.objects.get().sent is None
    clock.move_to(NOW.replace(minute=6, second=0))
    assert fire() == []
    clock.move_to(NOW.replace(minute=6, second=2))
    assert times(fire()) == ["01 12:05:00"]
    assert dt.timedelta(minutes=1) > outbox.STALE


# -- what is wrong where it is written ----------------------------------------------------------
WRONG = {
    "no time": (every, "is 0 s, expected whole seconds"),
    "half a second": (lambda: every(seconds=0.5), "is 0.5 s"),
    "a text": (lambda: every(minutes="5"), "expected numbers: minutes=5"),
    "no cron": (lambda: cron("61 * * * *"), "minute 61 is out of range"),
    "seconds": (lambda: cron("0 * * * * *"), "there is no field for seconds"),
    "no zone": (
        lambda: cron("@daily", tz="Europe/Pairs"),
        "@cron: there is no zone 'Europe/Pairs' - did you mean 'Europe/Paris'",
    ),
    "a zone of another type": (lambda: cron("@daily", tz=5), "no zone 5.*'Europe/Paris'"),
    "missed": (lambda: every(days=1, missed="none"), "missed is 'none', expected 'one' or"),
    "jitter": (lambda: every(days=1, jitter=-1), "jitter is -1, expected seconds >= 0"),
    "a date": (lambda: every(days=1, start="2026"), "start is '2026', expected a datetime"),
    "an end before its start": (
        lambda: every(days=1, start=NOW, end=NOW),
        "so it would never run",
    ),
    "a queue": (lambda: every(days=1, cluster=5), "cluster is 5"),
    "a lambda": (lambda: every(days=1)(lambda: 1), "@every cannot be put on a lambda"),
    "a method": (lambda: cron("@daily")(Schedule.save), "@cron cannot be put on a method"),
    "an argument": (lambda: every(days=1)(kind.add), "missing a required argument: 'left'"),
    "an argument that cannot be kept": (
        lambda: every(days=1, args=(object(),))(kind.echo),
        "cannot schedule with these arguments",
    ),
    "an option": (
        lambda: every(days=1, kwargs={"timeout": 3})(kind.takes_anything),
        "one is an option of tasks",
    ),
    "a name": (lambda: every(days=1, name="a\0b")(decorated.tidy), "the name"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_where_it_is_written(what):
    declare, told = WRONG[what]
    with pytest.raises((ConfigError, EnqueueError), match=told):
        declare()
    assert DECLARED == {}


def test_two_of_one_name():
    every(days=1)(decorated.tidy)
    told = (
        "two schedules are called 'chores.decorated.tidy': one of chores.decorated.tidy"
        r" \(.*decorated.py, line \d+\), and one of"
    )
    with pytest.raises(ConfigError, match=told):
        cron("@daily")(decorated.tidy)
    with pytest.raises(ConfigError, match="Give one of them another name"):
        cron("@daily", name="chores.decorated.tidy")(kind.add_nothing)
    cron("@daily", name="another")(decorated.tidy)
    assert DECLARED.keys() == {"chores.decorated.tidy", "another"}


def test_a_module_that_is_loaded_again_declares_the_same():
    source = "from qcore.schedules import every\n@every(days=1)\ndef tidy(): ...\n"
    for _ in range(2):
        module = types.ModuleType("loaded_again")
        exec(source, module.__dict__)
    assert DECLARED.keys() == {"loaded_again.tidy"}


def test_a_moment_that_no_zone_has_stops_no_other_schedule(db, clock):
    """People write it where they mean "never"; migrate and the cluster's start must go on."""
    west = "America/Los_Angeles"
    cron("0 3 * * *", tz=west, args=(1,), name="wrong", end=dt.datetime.max)(kind.add)
    cron("0 4 * * *", args=(1,), name="right")(kind.add)
    sync_module.sync_guarded("in a test", {})
    assert list(stored()) == ["right"]
    refused, kept = sorted(sync(), key=lambda one: one.what, reverse=True)
    assert (refused.name, refused.what, kept.what) == ("wrong", "refused", "kept")
    assert "OverflowError: date value out of range" in refused.told


def test_a_function_that_has_gone(db, clock, monkeypatch):
    module = types.ModuleType("has_gone")
    exec(
        "from qcore.schedules import every\n@every(days=1)\ndef f(): ...\n",
        module.__dict__,
    )
    del module.f
    monkeypatch.setitem(sys.modules, "has_gone", module)
    every(days=1)(decorated.tidy)
    refused, kept = sorted(sync(), key=lambda one: one.what, reverse=True)
    assert (kept.name, kept.what) == ("chores.decorated.tidy", "added")
    assert (refused.name, refused.what) == ("has_gone.f", "refused")
    assert "there is no function 'has_gone.f'" in refused.told
    assert stored().keys() == {"chores.decorated.tidy"}


def test_the_row_tells_that_its_function_has_gone(db, clock, monkeypatch):
    module = types.ModuleType("went_later")
    exec(
        "from qcore.schedules import every\n@every(days=30)\ndef f(): ...\n",
        module.__dict__,
    )
    monkeypatch.setitem(sys.modules, "went_later", module)
    every(days=1)(decorated.tidy)
    sync()
    function = module.f
    del module.f
    sync(dry_run=True)
    assert stored()["went_later.f"].error == ""
    before = stored()["went_later.f"]
    sync()
    row = stored()["went_later.f"]
    assert row.error.startswith(
        "not taken from the code: there is no function 'went_later.f'"
    )
    assert (row.next_run, row.tries, row.paused) == (before.next_run, 0, False)
    assert stored()["chores.decorated.tidy"].error == ""
    module.f = function
    assert {change.what for change in sync()} == {"kept"}
    assert stored()["went_later.f"].error == ""


def test_the_row_tells_that_its_module_cannot_be_imported(db, clock):
    every(days=1)(decorated.tidy)
    sync(broken={})
    DECLARED.clear()
    broken = {"chores.decorated": ImportError("no module 'shop'")}
    sync(broken=broken)
    row = stored()["chores.decorated.tidy"]
    assert "chores.decorated cannot be imported (ImportError)" in row.error
    every(days=1)(decorated.tidy)
    sync(broken={})
    assert stored()["chores.decorated.tidy"].error == ""


def test_sync_leaves_the_error_of_a_run(db, clock):
    every(days=1)(decorated.tidy)
    sync()
    Schedule.objects.update(error="BrokerError: the queue takes no tasks")
    sync()
    assert stored()["chores.decorated.tidy"].error.startswith("BrokerError")


def test_a_name_that_a_row_of_the_admin_has(db, clock, caplog):
    schedule("chores.kind.add_nothing", name="nightly", minutes=5)
    every(days=1, name="nightly")(decorated.tidy)
    (found,) = sync()
    assert found.what == "refused"
    assert "a schedule called 'nightly' was made in the admin" in found.told
    assert "nightly" in caplog.text
    assert stored()["nightly"].func == "chores.kind.add_nothing"


def test_a_function_that_is_not_admitted(db, clock, settings):
    settings.Q_CLUSTER = SETTINGS | {"allowed_tasks": ["shop"]}
    every(days=1)(decorated.tidy)
    (found,) = sync()
    assert "admits only shop" in found.told


# -- migrate, and the start of a cluster ---------------------------------------------------------
def test_migrate_writes_them(db, clock):
    every(days=1)(decorated.tidy)
    emit_post_migrate_signal(0, False, "default")
    assert stored().keys() == {"chores.decorated.tidy"}


def test_a_table_that_is_not_migrated_stops_nothing(db, clock, monkeypatch, caplog):
    def refuse(**_):
        raise OperationalError("no such column: qcore_schedule.declared")

    monkeypatch.setattr(sync_module, "sync", refuse)
    emit_post_migrate_signal(0, False, "default")
    assert "not written to the table after migrate: OperationalError" in caplog.text
    assert "migrate" in caplog.text


def test_schedules_that_are_kept_elsewhere_are_left_alone(db, settings):
    settings.Q_CLUSTER = SETTINGS | {
        "scheduler_class": "qcore.schedules.base.Scheduler"
    }
    every(days=1)(decorated.tidy)
    emit_post_migrate_signal(0, False, "default")
    assert stored() == {}


# -- the command line -----------------------------------------------------------------------------
def command(capsys, *words):
    code = main(["schedules", *words])
    return code, capsys.readouterr().out


def test_the_verb(db, clock, capsys):
    assert command(capsys) == (0, "There is no schedule.\n")
    assert "declares no schedule" in command(capsys, "sync")[1]
    every(minutes=5)(decorated.tidy)
    cron("0 3 * * *", tz="Europe/Paris", name="nightly")(decorated.tidy)
    code, text = command(capsys, "sync", "--dry-run")
    assert code == 0
    assert "added    nightly" in text
    assert "this was a dry run" in text
    assert stored() == {}
    assert "added    nightly" in command(capsys, "sync")[1]
    text = command(capsys, "--runs", "2")[1]
    assert "2026-01-01 12:05:00, 2026-01-01 12:10:00" in text
    assert "every 5 minutes" in text
    assert "(Europe/Paris)" in text


def test_the_next_runs_are_all_on_one_wall(db, clock, capsys, settings):
    """The first one comes from the table, and the others from the rule in its zone."""
    settings.TIME_ZONE = "Asia/Tokyo"
    cron("0 3 * * *", tz="Europe/Paris")(decorated.tidy)
    sync()
    moments = Schedule.objects.get().next_runs(2)
    assert [one.isoformat() for one in moments] == [
        "2026-01-02T02:00:00+00:00",
        "2026-01-03T02:00:00+00:00",
    ]
    text = command(capsys, "--runs", "2")[1]
    assert "NEXT RUNS (Asia/Tokyo)" in text
    assert "2026-01-02 11:00:00, 2026-01-03 11:00:00" in text


def test_the_verb_as_json(db, clock, capsys):
    every(minutes=5)(decorated.tidy)
    document = json.loads(command(capsys, "sync", "--json")[1])
    validate(document)
    assert document["changes"] == [
        {"name": "chores.decorated.tidy", "what": "added", "told": ""}
    ]
    schedule("chores.kind.add_nothing", name="by hand", minutes=5)
    document = json.loads(command(capsys, "--json", "--runs", "2")[1])
    validate(document)
    told = {one["name"]: one for one in document["schedules"]}
    assert told["by hand"]["declared"] is False
    assert told["chores.decorated.tidy"]["declared"] is True
    assert told["chores.decorated.tidy"]["next_runs"] == [
        "2026-01-01T12:05:00+00:00",
        "2026-01-01T12:10:00+00:00",
    ]


def test_the_verb_says_no_where_a_schedule_is_refused(db, clock, capsys):
    schedule("chores.kind.add_nothing", name="nightly", minutes=5)
    every(days=1, name="nightly")(decorated.tidy)
    code, text = command(capsys, "sync")
    assert code == 1
    assert "refused  nightly: a schedule called 'nightly' was made" in text


# -- the admin ---------------------------------------------------------------------------------------
def test_a_row_of_the_code_is_read_only_in_the_admin(admin_client, clock):
    every(minutes=5)(decorated.tidy)
    sync()
    row = Schedule.objects.get()
    page = reverse("admin:qcore_schedule_change", args=[row.pk])
    text = admin_client.get(page).content.decode()
    assert 'name="_save"' not in text
    assert "2026-01-01 12:05:00, 2026-01-01 12:10:00" in text
    assert admin_client.post(page, {"name": "other"}).status_code == 403
    delete = reverse("admin:qcore_schedule_delete", args=[row.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    listed = reverse("admin:qcore_schedule_changelist")
    chosen = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
    admin_client.post(listed, chosen)
    assert Schedule.objects.filter(pk=row.pk).exists()
    by_hand = schedule("chores.kind.add_nothing", name="by hand", minutes=5)
    page = reverse("admin:qcore_schedule_change", args=[by_hand.pk])
    assert 'name="_save"' in admin_client.get(page).content.decode()


def test_seconds_are_no_option_of_schedule(db):
    with pytest.raises(QcoreError, match=r"in the code that is @every\(seconds=10\)"):
        schedule("chores.kind.add_nothing", schedule_type="S")


# -- schedules of task functions -----------------------------------------------------------------
def test_a_task_function_can_be_scheduled(db, clock):
    row = decorated.send_receipt.schedule(
        (17,), {"copies": 2}, name="receipts", minutes=5
    )
    assert (row.func, row.declared) == ("chores.decorated.send_receipt", False)
    changed = decorated.send_receipt.using(timeout=7, sync=True)
    changed.schedule((18,), name="others", minutes=5)
    clock.move_to(NOW + dt.timedelta(seconds=1))
    task, other = sorted(fire("mail"), key=lambda task: task.body)
    assert decode(other) == ([18], {})
    assert (other.options.timeout, other.options.max_attempts) == (7, 5)
    assert decode(task) == ([17], {"copies": 2})
    assert (task.options.timeout, task.options.max_attempts) == (30, 5)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda f: f.schedule((1,), minuts=5),
            "has no 'minuts' - did you mean 'minutes'",
        ),
        (lambda f: f.schedule((1,), {"name": 5}), "with the keyword 'name'"),
        (lambda f: f.schedule((), {"copies": 2}, minutes=5), "missing .* 'order_id'"),
        (lambda f: f.schedule((1,), cron="61 * * * *"), "minute 61 is out of range"),
    ],
)
def test_a_schedule_of_a_task_function_that_is_wrong(db, call, told):
    with pytest.raises(EnqueueError, match=told):
        call(decorated.send_receipt)
    assert stored() == {}


@pytest.mark.parametrize(
    "error", [ImproperlyConfigured("no ENGINE"), OperationalError("away")]
)
def test_a_cluster_of_a_project_without_a_database_starts(monkeypatch, error):
    """The sync is left to say what is wrong, and it says that in the log alone."""

    class Rows:
        def using(self, database):
            raise error

    monkeypatch.setattr(Schedule, "objects", Rows())
    assert run._has_declared("default")
