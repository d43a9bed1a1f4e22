"""The models: what a stored task says of itself, and schedules on their own."""

from __future__ import annotations

import datetime as dt

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import override_settings
from django.utils import timezone

from qcore.envelope import Outcome
from qcore.errors import BadPackage
from qcore.models import Failure, Schedule, ScheduleSlot, Success, Task
from qcore.results.orm import OrmStore
from qcore.results.rows import NAME, clip
from qcore.runtime import current

pytestmark = pytest.mark.django_db


@pytest.fixture
def save(make):
    def save(*args, **kwargs) -> Task:
        result = make(*args, **kwargs)
        OrmStore(current.conf).save([result])
        return Task.objects.get(id=result.task.id)

    return save


def test_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "qcore", check=True, dry_run=True, verbosity=0)


def test_the_app_is_labelled():
    assert str(apps.get_app_config("qcore").verbose_name) == "qcore"
    with override_settings(Q_CLUSTER={"label": "Jobs"}):
        assert str(apps.get_app_config("qcore").verbose_name) == "Jobs"
    with override_settings(Q_CLUSTER="nonsense"):
        assert str(apps.get_app_config("qcore").verbose_name) == "qcore"


# -- tasks ---------------------------------------------------------------------------------
def test_a_task_is_called_by_its_name(save):
    assert str(save(name="nightly")) == "nightly"


def test_successes_and_failures_are_told_apart(save):
    good, bad = save(), save(outcome=Outcome.CRASH)
    assert [row.pk for row in Success.objects.all()] == [good.pk]
    assert [row.pk for row in Failure.objects.all()] == [bad.pk]


def test_tasks_are_ordered_from_the_newest(save):
    rows = [save() for _ in range(3)]
    assert list(Task.objects.all()) == rows[::-1]


@pytest.mark.parametrize(("length", "short"), [(96, 98), (200, 100)])
def test_a_short_result_is_short(save, length, short):
    assert len(save("x" * length).short_result()) == short


def test_the_text_of_an_error_is_its_result(save):
    row = save(outcome="failure", error="ValueError: 3")
    assert row.result == row.short_result() == "ValueError: 3"


def test_the_group_of_a_task(save):
    row, *_ = (save(n, group="g") for n in range(3))
    save(group="g", outcome="failure", error="bad")
    assert row.group_result() == [0, 1, 2]
    assert row.group_result(failures=True) == [0, 1, 2, "bad"]
    assert row.group_count() == 4
    assert row.group_count(failures=True) == 1
    assert row.group_delete() == 4
    assert row.group_count() == 0
    assert Task.objects.count() == 4


def test_the_look_ups_have_a_second_home_on_the_model(save):
    good = save(3, group="g", name="sum")
    bad = save(group="g", outcome="failure", error="bad")
    assert Task.get_task(good.id) == Task.get_task("sum") == good
    assert Task.get_result("sum") == 3
    assert Task.get_result("nobody") is None
    assert Task.get_task_group("g") == [good, bad]
    assert Task.get_task_group("g", failures=False) == [good]
    assert Task.get_result_group("g") == [3]
    assert Task.get_result_group("g", failures=True) == [3, "bad"]
    assert Task.get_group_count("g") == 2
    assert Task.get_group_count("g", failures=True) == 1
    assert Task.delete_group("g") == 2
    assert Task.delete_group("g", tasks=True) == 0
    assert Task.objects.count() == 2


def test_a_group_can_be_deleted_with_its_tasks(save):
    row, other = save(group="g"), save()
    assert row.group_delete(tasks=True) == 1
    assert list(Task.objects.all()) == [other]


def test_a_task_without_a_group_has_no_company(save):
    row, _ = save(), save()
    assert row.group_result() == []
    assert row.group_delete(tasks=True) == 0
    assert Task.objects.count() == 2


def test_a_damaged_row_says_so(save):
    row = save()
    row.payload, row.value = "{", "{"
    for name in ("args", "kwargs", "result"):
        with pytest.raises(BadPackage):
            getattr(row, name)
    assert "unreadable" in row.short_result()


def test_names_are_compared_as_they_are(save):
    save(1, name="Nightly")
    save(2, name="nightly")
    assert Task.objects.get(name="nightly").result == 2


def test_clipping_keeps_names_apart_and_short_ones_as_they_are():
    assert clip("short", NAME) == "short"
    assert clip("x" * NAME, NAME) == "x" * NAME
    first, second = clip("x" * 200 + "1", NAME), clip("x" * 200 + "2", NAME)
    assert first != second
    assert len(first) == len(second) == NAME
    assert clip(first, NAME) == first


def test_the_database_has_the_index_that_pruning_walks():
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Task._meta.db_table)
    columns = [entry["columns"] for entry in found.values() if entry["index"]]
    assert ["success", "stopped", "id", "iter_index"] in columns
    # Django would add one for LIKE to each, on PostgreSQL
    assert sum(names == ["id"] for names in columns) <= 1


# -- schedules -------------------------------------------------------------------------------
def test_a_schedule_is_called_by_its_name_or_function():
    assert str(Schedule(name="roots", func="math.sqrt")) == "roots"
    assert str(Schedule(func="math.sqrt")) == "math.sqrt"


def test_a_new_schedule_runs_now_and_a_cron_at_its_next_slot():
    before = timezone.now()
    row = Schedule.objects.create(func="math.sqrt", schedule_type="H")
    assert before <= row.next_run <= timezone.now()
    row = Schedule.objects.create(func="math.sqrt", schedule_type="C", cron="@yearly")
    assert (row.next_run.month, row.next_run.day) == (1, 1)


def test_the_next_run_can_be_asked():
    start = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    row = Schedule(func="math.sqrt", schedule_type="M", next_run=start)
    second = row.calculate_next_run()
    assert (second.month, second.day) == (2, 28)
    third = row.calculate_next_run(second)
    assert (third.month, third.day) == (3, 31)
    assert Schedule(schedule_type="O", next_run=start).calculate_next_run() is None


def test_the_last_run_is_found(save):
    good, bad = save(), save(outcome="failure")
    assert Schedule(task=good.pk).success() is True
    assert Schedule(task=bad.pk).success() is False
    assert Schedule(task=bad.pk).last_run() == bad
    assert Schedule(task="0" * 32).success() is None
    assert Schedule().last_run() is None


def test_a_schedule_that_cannot_run_is_not_clean():
    row = Schedule(func="nodots", args="1", kwargs="x", hook="y", schedule_type="I")
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert set(caught.value.message_dict) == {
        "func",
        "args",
        "kwargs",
        "hook",
        "minutes",
    }


def test_blank_options_are_none():
    row = Schedule.objects.create(func="math.sqrt", name="", cluster="", hook="")
    assert (row.name, row.cluster, row.hook) == (None, None, None)


def test_the_database_itself_keeps_a_slot_from_firing_twice():
    row = Schedule.objects.create(func="math.sqrt")
    slot = {"schedule": row, "slot": timezone.now(), "queue": "q", "package": b""}
    ScheduleSlot.objects.create(**slot, task_id="1" * 32)
    with pytest.raises(IntegrityError), transaction.atomic():
        ScheduleSlot.objects.create(**slot, task_id="2" * 32)
