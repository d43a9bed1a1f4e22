"""The app, its migrations, and what projects import."""

from __future__ import annotations

from importlib import import_module
from unittest import mock

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core import checks
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from django_q.models import Schedule

pytestmark = pytest.mark.django_db

#: What 25 public projects import, and what django-q's documentation names.
NAMES = {
    "tasks": "async_task schedule result result_group result_cached fetch fetch_group"
    " fetch_cached count_group delete_group delete_cached queue_size async_iter"
    " async_chain Iter Chain AsyncTask Schedule Task Conf get_broker uuid",
    "models": "Task Success Failure Schedule OrmQ validate_cron validate_kwarg",
    "conf": "Conf logger error_reporter croniter psutil setproctitle resource",
    "brokers": "Broker get_broker",
    "brokers.redis_broker": "Redis",
    "brokers.orm": "ORM",
    "brokers.aws_sqs": "Sqs",
    "brokers.mongo": "Mongo",
    "brokers.ironmq": "IronMQBroker",
    "brokers.disque": "Disque",
    "signals": "pre_enqueue pre_execute post_execute post_execute_in_worker post_spawn"
    " call_hook",
    "admin": "TaskAdmin FailAdmin ScheduleAdmin QueueAdmin resubmit_task",
    "cluster": "Cluster Sentinel pusher worker monitor scheduler",
    "status": "Stat Status",
    "monitor": "monitor Stat info get_ids",
    "monitor_terminal": "monitor info memory get_ids",
    "pusher": "pusher",
    "worker": "worker",
    "scheduler": "scheduler",
    "signing": "SignedPackage PickleSerializer BadSignature",
    "core_signing": "loads dumps TimestampSigner",
    "queues": "Queue SharedCounter",
    "humanhash": "uuid humanize HumanHasher DEFAULT_WORDLIST DEFAULT_HASHER",
    "exceptions": "TimeoutException",
    "timeout": "TimeoutHandler",
    "utils": "add_months add_years localtime get_func_repr close_old_django_connections",
    "management.commands.qcluster": "Command",
    "management.commands.qmonitor": "Command",
    "management.commands.qinfo": "Command",
    "management.commands.qmemory": "Command",
}


@pytest.mark.parametrize("module", NAMES)
def test_projects_find_what_they_import(module: str) -> None:
    found = import_module(f"django_q.{module}")
    missing = [name for name in NAMES[module].split() if not hasattr(found, name)]
    assert missing == []


def test_the_apps_of_qcore_come_with_it() -> None:
    labels = [config.label for config in apps.get_app_configs()]
    assert {"django_q", "qcore", "qcore_orm"} <= set(labels)


def test_a_project_may_name_the_apps_of_qcore_itself() -> None:
    others = [app for app in settings.INSTALLED_APPS if app != "django_q"]
    named = ["django_q", "qcore.apps.QcoreConfig", "qcore_orm"]
    with (
        override_settings(INSTALLED_APPS=[*others, *named[1:]]),
        override_settings(INSTALLED_APPS=[*others, *named]),
    ):
        labels = [config.label for config in apps.get_app_configs()]
    assert labels.count("qcore") == labels.count("qcore_orm") == 1


def test_the_models_have_the_label_and_the_tables_of_qcore() -> None:
    assert Schedule._meta.label == "django_q.Schedule"
    assert Schedule._meta.db_table == "qcore_schedule"


def test_nothing_is_to_be_migrated() -> None:
    call_command("makemigrations", "django_q", "qcore", check=True, dry_run=True)


def test_there_are_upstreams_nineteen_migrations() -> None:
    loader = MigrationLoader(connection)
    names = [name for app, name in loader.disk_migrations if app == "django_q"]
    numbers = sorted({int(name[:4]) for name in names})
    assert numbers == list(range(1, 21))
    assert "0014_schedule_cluster" in names
    assert "0018_task_success_index" in names


@pytest.mark.parametrize("last", [14, 18, 19])
def test_a_database_that_django_q_has_migrated_is_consistent(last: int) -> None:
    """Its migrations are applied, and those of qcore are not: Django must not refuse."""
    every = MigrationLoader(connection).disk_migrations
    done = {
        (app, name): migration
        for (app, name), migration in every.items()
        if app == "django_q" and name != "0001_qcore" and int(name[:4]) <= last
    }

    with mock.patch.object(
        MigrationRecorder, "applied_migrations", side_effect=done.copy
    ):
        loader = MigrationLoader(connection)
        loader.check_consistent_history(connection)
    assert ("django_q", "0001_qcore") in loader.applied_migrations
    state = loader.project_state()
    assert ("django_q", "schedule") in state.models


def test_a_migration_of_a_project_makes_schedules_as_before() -> None:
    """Such a migration gets the historical models, which have no methods of ours."""
    loader = MigrationLoader(connection)
    target = ("django_q", "0014_schedule_cluster")
    # the tables are those of now, so the columns are, too
    state = loader.project_state([target, *loader.graph.leaf_nodes("qcore")])
    historical = state.apps.get_model("django_q", "Schedule")
    made = historical.objects.create(
        name="cleanup", func="math.gcd", args="4, 6", kwargs="", schedule_type="I"
    )
    row = Schedule.objects.get(pk=made.pk)
    assert (row.args, row.minutes) == ("(4, 6)", 1)
    assert row.next_run is not None


def test_the_pages_of_qcore_give_way() -> None:
    models = {model._meta.label for model in admin.site._registry}
    assert {"django_q.Schedule", "django_q.Success", "django_q.Failure"} <= models
    assert "django_q.OrmQ" in models
    assert not {"qcore.Schedule", "qcore.Success", "qcore_orm.OrmQ"} & models


def test_the_checks_say_nothing_of_a_plain_project() -> None:
    found = [one for one in checks.run_checks() if one.id.startswith("django_q")]
    assert found == []


@pytest.mark.parametrize("name", ["qcluster", "qmonitor", "qinfo", "qmemory"])
def test_a_command_has_a_parser(name: str) -> None:
    """An option that qcore has by itself must not be added a second time."""
    command = import_module(f"django_q.management.commands.{name}").Command()
    assert command.create_parser("manage.py", name)


def test_the_options_of_django_q_whoever_s_command_is_found_first(capsys) -> None:
    call_command("qmemory", run_once=True, workers=True)
    call_command("qmemory", "--run-once", "--workers")
    call_command("qmonitor", run_once=True)
    call_command("qinfo", config=True)
    call_command("qinfo", ids=True)
    assert capsys.readouterr().out
