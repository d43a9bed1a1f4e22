"""Runs of a schedule that must not overlap, and rows with what was the code's alone."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from chores import decorated
from django.core.exceptions import ValidationError
from django.test import override_settings
from django.urls import reverse

from qcore.errors import ConfigError, StoreUnavailable
from qcore.models import Schedule, Tracked
from qcore.runtime import Current, current
from qcore.schedules import every, overlap
from qcore.schedules.firing import Firing
from qcore.schedules.orm import OrmScheduler
from qcore.schedules.registry import DECLARED
from qcore.schedules.sync import sync
from qcore.tasks import discovery, status

NOW = dt.datetime(2026, 1, 1, 12, 0, 30, tzinfo=dt.UTC)
SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    before = dict(DECLARED)
    DECLARED.clear()
    monkeypatch.setattr(discovery, "load_all", dict)
    with override_settings(Q_CLUSTER=SETTINGS):
        current.broker().purge_queue()
        yield
        current.broker().purge_queue()
    DECLARED.clear()
    DECLARED.update(before)


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def declare(how, **more):
    every(minutes=1, overlap=how, name="minutely", **more)(decorated.tidy)
    sync()


def fire():
    """Tick once, and return the tasks that were sent."""
    OrmScheduler(current.conf).tick()
    broker = current.broker()
    deliveries = broker.dequeue(1000)
    broker.acknowledge_many([one.receipt for one in deliveries])
    return [current.signer.verify(one.package, broker.queue) for one in deliveries]


def end(task, outcome="success"):
    """Let a task be over, as the recorder writes it."""
    Tracked.objects.filter(task_id=task.id).update(state=outcome, finished=1.0)


def minutes(clock, count):
    clock.shift(dt.timedelta(minutes=count))


def row():
    return Schedule.objects.get()


def test_skip_leaves_a_run_out_while_the_one_before_goes_on(clock):
    declare("skip")
    minutes(clock, 1)
    (first,) = fire()
    assert first.options.track is True
    assert status(first.id) == "waiting"
    minutes(clock, 1)
    assert fire() == []
    assert f"the run before (task {first.id}) has not ended" in row().error
    assert row().next_run == NOW.replace(minute=3, second=0)
    Tracked.objects.update(state="running", attempted=NOW.timestamp())
    minutes(clock, 1)
    assert fire() == []
    end(first)
    minutes(clock, 1)
    (second,) = fire()
    assert second.slot == NOW.replace(minute=4, second=0).timestamp()
    assert row().error == ""


@pytest.mark.fault("M3")
def test_a_run_that_waits_for_its_retry_has_not_ended(clock):
    declare("skip")
    minutes(clock, 1)
    (first,) = fire()
    Tracked.objects.update(state="waiting", attempted=NOW.timestamp(), errors="[]")
    minutes(clock, 1)
    assert fire() == []
    end(first, "failure")
    minutes(clock, 1)
    assert len(fire()) == 1


def test_queue_sends_a_run_when_the_one_before_has_ended(clock):
    declare("queue")
    minutes(clock, 1)
    (first,) = fire()
    minutes(clock, 3)
    assert fire() == []
    assert row().next_run == NOW.replace(minute=2, second=0)
    assert row().tries == 0
    found = [first]
    for _ in range(3):
        end(found[-1])
        clock.shift(dt.timedelta(seconds=1))
        found += fire()
    starts = [dt.datetime.fromtimestamp(one.slot, dt.UTC).minute for one in found]
    assert starts == [1, 2, 3, 4]
    assert len(set(found)) == 4


def test_one_that_waits_delays_no_other(clock):
    declare("queue")
    every(minutes=1, name="other")(decorated.tidy)
    sync()
    minutes(clock, 1)
    assert len(fire()) == 2
    minutes(clock, 1)
    assert [one.group for one in fire()] == ["other"]


@pytest.mark.parametrize("how", [None, "allow"])
def test_runs_overlap_where_nothing_is_said_and_are_not_tracked(clock, how):
    declare(how)
    minutes(clock, 1)
    assert len(fire()) == 1
    minutes(clock, 1)
    assert len(fire()) == 1
    assert not Tracked.objects.exists()


def test_skip_sends_one_of_the_runs_that_were_missed(clock):
    declare("skip", missed="all")
    minutes(clock, 5)
    (task,) = fire()
    assert task.slot == NOW.replace(minute=5, second=0).timestamp()


@pytest.mark.fault("M3")
def test_a_run_of_which_nobody_has_heard_for_a_day_is_lost(clock, caplog):
    declare("skip")
    minutes(clock, 1)
    (first,) = fire()
    clock.shift(dt.timedelta(seconds=overlap.LOST - 120))
    assert fire() == []
    clock.shift(dt.timedelta(seconds=240))
    assert len(fire()) == 1
    assert f"the run before (task {first.id})" in caplog.text


def test_an_old_run_that_a_cluster_has_is_not_lost(clock, monkeypatch):
    from qcore.tasks import state

    declare("skip")
    minutes(clock, 1)
    fire()
    monkeypatch.setattr(state, "_running", lambda task_id: state.State.RUNNING)
    clock.shift(dt.timedelta(days=3))
    assert fire() == []


@pytest.mark.fault("M3")
def test_a_ledger_that_is_away_is_waited_for(clock, monkeypatch):
    def away(row):
        raise StoreUnavailable("away")

    declare("skip")
    minutes(clock, 1)
    with monkeypatch.context() as patch:
        patch.setattr(overlap, "open_run", away)
        for _ in range(20):
            assert fire() == []
            clock.shift(dt.timedelta(seconds=2))
    assert (row().tries, row().paused, row().error) == (0, False, "")
    assert len(fire()) == 1


@pytest.mark.fault("M3")
def test_a_run_is_known_before_its_slot_is_written(clock, monkeypatch):
    """A cluster that dies between the two sends the run once, and knows it."""
    declare("skip")
    minutes(clock, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Firing, "_write", died)
        with pytest.raises(SystemExit):
            OrmScheduler(current.conf).tick()
    (task,) = fire()
    assert [one.task_id for one in Tracked.objects.all()] == [task.id]


def died(*args, **kwargs):
    raise SystemExit


def test_where_nothing_is_tracked_it_is_refused(clock, monkeypatch):
    monkeypatch.setattr(Current, "tracker", property(lambda self: None))
    every(minutes=1, overlap="skip", name="minutely")(decorated.tidy)
    (change,) = sync()
    assert change.what == "refused"
    assert "overlap needs tracked tasks" in change.told
    with pytest.raises(ValidationError, match="needs tracked tasks"):
        Schedule(func="chores.decorated.tidy", minutes=1, overlap="skip").full_clean()


def test_a_wrong_word_is_told_where_it_is_written():
    with pytest.raises(
        ConfigError, match="@every: overlap is 'wait', expected 'allow'"
    ):
        every(minutes=1, overlap="wait")


# -- rows that no code has written -----------------------------------------------------------
def test_a_row_has_a_zone_seconds_and_an_end_of_its_own(clock):
    made = Schedule.objects.create(
        func="chores.decorated.tidy", seconds=20, ends=NOW + dt.timedelta(seconds=50)
    )
    made.full_clean()
    assert made.schedule_type == Schedule.SECONDS
    assert len(made.next_runs(9)) == 3
    assert len(fire()) == 1
    paris = Schedule.objects.create(
        func="chores.decorated.tidy", cron="0 3 * * *", tz="Europe/Paris", name="night"
    )
    assert paris.next_run == dt.datetime(2026, 1, 2, 2, tzinfo=dt.UTC)
    paris.tz = "America/New_York"
    paris.save()
    assert paris.next_run == dt.datetime(2026, 1, 2, 8, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("columns", "field", "told"),
    [
        ({"minutes": 1, "tz": "Europe/Pairs"}, "tz", "did you mean 'Europe/Paris'"),
        ({"schedule_type": "S"}, "seconds", "seconds is None, expected a whole number"),
        ({"minutes": 1, "overlap": "wait"}, "overlap", "not a valid choice"),
        ({"minutes": 1, "missed": "some"}, "missed", "not a valid choice"),
    ],
)
def test_a_wrong_row_is_refused_field_by_field(columns, field, told):
    with pytest.raises(ValidationError) as error:
        Schedule(func="chores.decorated.tidy", **columns).full_clean()
    assert told in str(error.value.message_dict[field])


def test_the_admin_has_a_field_for_each(admin_client, clock):
    page = reverse("admin:qcore_schedule_add")
    given = {
        "name": "by hand", "func": "chores.decorated.tidy", "schedule_type": "S",
        "seconds": "30", "tz": "Europe/Paris", "repeats": "-1", "overlap": "queue",
        "missed": "skip", "jitter": "", "ends_0": "2026-02-01", "ends_1": "00:00:00",
    }  # fmt: skip
    answer = admin_client.post(page, given)
    assert answer.status_code == 302, answer.context["errors"]
    made = row()
    assert (made.seconds, made.tz, made.overlap) == (30, "Europe/Paris", "queue")
    assert (made.missed, made.jitter, made.declared) == ("skip", 0, False)
    text = admin_client.get(reverse("admin:qcore_schedule_change", args=[made.pk])).text
    assert (
        "every 30 seconds"
        in admin_client.get(reverse("admin:qcore_schedule_changelist")).text
    )
    assert 'name="overlap"' in text
