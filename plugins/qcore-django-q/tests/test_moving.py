"""``qcore migrate-from django_q``: what is in the tables of django-q comes over, once."""

from __future__ import annotations

import datetime as dt
import json
import pickle
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from chores.old_project import Parcel
from django.apps.registry import Apps
from django.core import signing
from django.db import connection, models
from django.utils import timezone
from support.json_schemas import validate

from django_q.models import Moved, OrmQ, Schedule, Task
from django_q.moving import keys
from django_q.moving.move import move
from django_q.moving.tables import TABLES, model_of
from django_q.signing import PickleSerializer
from qcore import cli
from qcore.models import Schedule as QcoreSchedule
from qcore.runtime import current
from qcore.testing.drain import drain

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def old() -> Iterator[dict[str, Any]]:
    """The tables that django-q2 makes, and a model of each."""
    made = []
    for table, columns in TABLES.items():
        meta = {"db_table": table, "app_label": "old_tables", "apps": Apps()}
        body = {name: make() for name, make in columns.items()}
        body |= {"Meta": type("Meta", (), meta), "__module__": __name__}
        made.append(type("Made", (models.Model,), body))
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    yield {table.rpartition("_")[2]: model_of(table, "default") for table in TABLES}
    with connection.schema_editor() as editor:
        for model in made:
            editor.delete_model(model)


def column(value: object) -> str:
    """A pickle as django-picklefield stores it."""
    return b64encode(pickle.dumps(value)).decode()


def schedule(old: dict[str, Any], func: str = "math.gcd", **columns: Any) -> Any:
    given = {"schedule_type": "D", "repeats": -1, "next_run": NOW, "args": "4, 6"}
    return old["schedule"].objects.create(func=func, **{**given, **columns})


def task(old: dict[str, Any], id: str, result: object, **columns: Any) -> Any:
    given = {
        "name": "n", "func": "math.gcd", "args": column((4, 6)), "kwargs": column({}),
        "started": NOW, "stopped": NOW, "success": True, "attempt_count": 1,
    }  # fmt: skip
    return old["task"].objects.create(
        id=id, result=column(result), **{**given, **columns}
    )


def package(old: dict[str, Any], key: str | None = None, **values: Any) -> Any:
    signed = signing.dumps(
        {"id": "ab" * 16, "name": "four", "func": "math.gcd", "args": (4, 6),
         "kwargs": {}, "started": NOW, **values},
        key=key or current.conf.signing_secrets[0], salt="drop-in",
        serializer=PickleSerializer,
    )  # fmt: skip
    return old["ormq"].objects.create(key="drop-in", payload=signed, lock=NOW)


def told(part: str, report: Any, which: str = "left") -> str:
    return "\n".join(f"{a}: {b}" for a, b in getattr(report.parts[part], which))


def test_a_database_without_the_tables_has_nothing_to_move() -> None:
    report = move()
    assert report.is_complete
    assert {part.moved for part in report.parts.values()} == {0}


def test_schedules_keep_every_column_and_a_second_run_moves_nothing(old) -> None:
    future = NOW + dt.timedelta(days=2)
    row = schedule(
        old, "chores.old_project.keep", name="nightly", hook="math.gcd", args="",
        kwargs="hue=1", schedule_type="C", cron="0 3 * * *", repeats=-7, next_run=future,
        cluster="drop-in", intended_date_kwarg="when", task="ef" * 16,
    )  # fmt: skip
    schedule(old, name="nightly", schedule_type="I", minutes=None, next_run=future)
    assert move().parts["schedules"].moved == 2
    first, second = Schedule.objects.order_by("pk")
    shown = (
        *(first.pk, first.name, first.hook, first.kwargs, first.cron, first.repeats),
        *(first.next_run, first.cluster, first.intended_date_kwarg, first.task),
    )
    assert shown == (
        *(row.pk, "nightly", "math.gcd", "{'hue': 1}", "0 3 * * *", -1),
        *(future, "drop-in", "when", "ef" * 16),
    )
    assert (second.name, second.args, second.minutes) == ("nightly", "(4, 6)", 1)
    before = list(QcoreSchedule.objects.values())
    again = move().parts["schedules"]
    assert (again.moved, again.before, again.left) == (0, 2, [])
    assert list(QcoreSchedule.objects.values()) == before


def test_an_id_that_is_taken_gives_way(old) -> None:
    schedule(old, pk=1, next_run=NOW + dt.timedelta(days=1))
    mine = Schedule.objects.create(pk=1, func="math.gcd", args="1, 2")
    report = move()
    assert "for 1 was taken" in told("schedules", report, "notes")
    other = Schedule.objects.exclude(pk=mine.pk).get()
    assert Moved.objects.get(kind="schedule").new == str(other.pk)


def test_what_is_overdue_goes_on_with_its_next_slot_unless_asked(old) -> None:
    late = NOW - dt.timedelta(days=3, hours=1)
    schedule(old, next_run=late)
    schedule(old, next_run=late, schedule_type="O")
    report = move(dry_run=True)
    assert "was due at" in told("schedules", report, "notes")
    assert Schedule.objects.count() == Moved.objects.count() == 0
    move(catch_up=True)
    assert {row.next_run for row in Schedule.objects.all()} == {late}
    Schedule.objects.all().delete()
    Moved.objects.all().delete()
    move()
    daily, once = Schedule.objects.order_by("pk")
    assert daily.next_run == late + dt.timedelta(days=4)
    assert once.next_run == late


def test_a_schedule_that_cannot_be_moved_is_listed_and_the_rest_goes_on(old) -> None:
    schedule(old, args="open('x')", name="evil")
    schedule(old, "gone.module.function", name="gone")
    schedule(old, "math.nothing", name="renamed")
    schedule(old, name="good")
    report = move()
    assert report.parts["schedules"].moved == 2
    assert "(evil): args: args is \"open('x')\", expected literals" in told(
        "schedules", report
    )
    assert "(renamed): func:" in told("schedules", report)
    assert "gone.module.function cannot be found here" in told(
        "schedules", report, "notes"
    )
    assert Schedule.objects.get(name="gone").paused
    assert not Schedule.objects.get(name="good").paused


class Bomb:
    """Fails the test when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was opened",))


def test_results_are_moved_closed_and_opened_only_where_that_is_asked(old) -> None:
    task(old, "a" * 32, Bomb(), group="g")
    report = move()
    assert report.parts["results"].moved == 1
    moved = Task.objects.get()
    assert (moved.name, moved.group, moved.started) == ("n", "g", NOW)
    assert "--unpickle" in moved.result
    # its arguments are not known, so that it cannot be sent again
    assert moved.content not in current.conf.accept_content
    assert move().parts["results"].before == 1


def test_results_are_opened_in_the_same_run_or_in_a_later_one(old) -> None:
    task(old, "a" * 32, [1, {"x": NOW}])
    move()
    task(old, "b" * 32, "it broke", success=False)
    task(old, "c" * 32, Parcel(3))
    broken = task(old, "d" * 32, 0)
    old["task"].objects.filter(pk=broken.pk).update(result=column(1)[:-4])
    report = move(unpickle=True)
    found = {row.pk[0]: row for row in Task.objects.all()}
    assert found["a"].result == [1, {"x": NOW}]
    assert found["a"].args == (4, 6)
    assert (found["b"].result, found["b"].success) == ("it broke", False)
    assert found["c"].result.weight == 3
    assert "--unpickle" in found["d"].result
    assert f"{broken.pk} (n): its pickle cannot be opened" in told(
        "results", report, "notes"
    )
    assert move(unpickle=True).parts["results"].moved == 0


def test_queued_packages_are_verified_sent_anew_and_taken_out(old) -> None:
    package(old, group="g", timeout=7)
    package(old, key="a foreign key", id="cd" * 16)
    garbage = package(old)
    old["ormq"].objects.filter(pk=garbage.pk).update(payload="nonsense")
    claimed = package(old, id="ef" * 16)
    later = NOW + dt.timedelta(hours=1)
    old["ormq"].objects.filter(pk=claimed.pk).update(lock=later)
    assert move(dry_run=True).parts["packages"].moved == 1
    assert OrmQ.objects.count() == 0
    report = move()
    assert report.parts["packages"].moved == 1
    assert told("packages", report).count("no key of this project has signed it") == 2
    assert "a cluster has claimed it until" in told("packages", report)
    assert old["ormq"].objects.count() == 3
    row = OrmQ.objects.get()
    assert (row.task_id(), row.group(), row.q_options()["timeout"]) == (
        *("ab" * 16, "g", 7),
    )
    drain()
    assert Task.objects.get().result == 2
    assert move(claimed=True).parts["packages"].moved == 1


def test_a_package_whose_pickle_cannot_be_opened_is_listed(old) -> None:
    class Gone:
        def __reduce__(self) -> Any:
            return (int, ("no number",))

    package(old, args=(Gone(),))
    package(old, id="cd" * 16)
    report = move()
    assert report.parts["packages"].moved == 1
    assert "its pickle cannot be opened: ValueError" in told("packages", report)


def test_foreign_keys_lead_to_the_new_tables(old, monkeypatch) -> None:
    registry = Apps()

    class Job(models.Model):  # noqa: DJ008 - nobody looks at one
        schedule = models.ForeignKey(QcoreSchedule, models.SET_NULL, null=True)

        class Meta:
            app_label = "jobs"
            db_table = "jobs_job"
            apps = registry

    there = schedule(old, pk=5, next_run=NOW + dt.timedelta(days=1))
    bad = schedule(old, pk=6, args="open('x')")
    Schedule.objects.create(pk=5, func="math.gcd", args="1, 2")
    with connection.cursor() as cursor:
        kind = "serial" if connection.vendor == "postgresql" else "integer"
        cursor.execute(
            f"CREATE TABLE jobs_job (id {kind} PRIMARY KEY, schedule_id integer NULL"
            " REFERENCES django_q_schedule (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        cursor.execute(
            "INSERT INTO jobs_job VALUES (1, %s), (2, %s), (3, NULL)",
            [there.pk, bad.pk],
        )
    pair = (Job, Job._meta.get_field("schedule"))
    monkeypatch.setattr(keys, "_fields", lambda alias: iter([pair]))
    try:
        assert move(dry_run=True).parts["keys"].moved == 1
        assert move().parts["keys"].moved == 1
        moved = int(Moved.objects.get(old="5").new)
        found = dict(Job.objects.values_list("pk", "schedule_id"))
        assert moved != 5
        assert found == {1: moved, 2: None, 3: None}
        with connection.cursor() as cursor:
            constraints = connection.introspection.get_constraints(cursor, "jobs_job")
        leads = {one["foreign_key"] for one in constraints.values()} - {None}
        assert leads == {("qcore_schedule", "id")}
        assert move().parts["keys"].moved == 0
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Job)


def test_the_verb_tells_in_text_and_in_json(old, capsys, monkeypatch) -> None:
    monkeypatch.setattr("qcore.cli.project.set_up", lambda verb, settings: None)
    schedule(old, name="good", next_run=NOW + dt.timedelta(days=1))
    schedule(old, name="evil", args="open('x')")
    words = ["migrate-from", "django_q"]
    assert cli.main([*words, "--dry-run"]) == 1
    text = capsys.readouterr().out
    assert "schedules: 1 would be moved, 1 cannot be moved" in text
    assert "not moved: 2 (evil)" in text
    assert cli.main([*words, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    validate(document)
    assert document["parts"]["schedules"]["moved"] == 1
    assert document["parts"]["schedules"]["left"][0]["what"] == "2 (evil)"
    old["schedule"].objects.filter(name="evil").delete()
    assert cli.main(words) == 0
    assert cli.main(["migrate-from", "celery"]) == 2
