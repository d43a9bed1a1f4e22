"""A cluster is refused where tables are missing or old, and told what to type."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from support.cli_project import clean_environment, write_project

from qcore.doctor import tables
from qcore.doctor.databases import databases
from qcore.runtime import current

pytest.importorskip("qcore_orm")


def qcore(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qcore", *words],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.live
@pytest.mark.fault("E12")
def test_a_cluster_needs_its_tables(tmp_path: Path):
    folder = write_project(tmp_path)
    refused = qcore(folder, "cluster", "--run-once")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "python manage.py migrate qcore --database=default" in refused.stderr
    assert "python manage.py migrate qcore_orm --database=default" in refused.stderr
    assert "Traceback" not in refused.stderr
    examined = qcore(folder, "doctor")
    assert examined.returncode == 3
    assert "migrations are" in examined.stdout
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=folder, env=clean_environment(), check=True)
    assert qcore(folder, "cluster", "--run-once").returncode == 0
    assert qcore(folder, "doctor").returncode == 0
    file = folder / "db.sqlite3"
    with closing(sqlite3.connect(file)) as database, database:  # half of it undone
        database.execute("DROP TABLE qcore_quarantine")
    refused = qcore(folder, "cluster", "--run-once")
    assert refused.returncode == 2
    assert "tables are missing: qcore_quarantine" in refused.stderr


@pytest.mark.live
@pytest.mark.fault("E12")
def test_a_database_that_is_away_is_not_judged(tmp_path: Path):
    """The cluster starts and waits for it; the doctor says so."""
    folder = write_project(tmp_path)
    settings = folder / "shop_settings.py"
    settings.write_text(
        settings.read_text().replace('"db.sqlite3"', '"nowhere" / "db.sqlite3"')
    )
    examined = qcore(folder, "doctor")
    assert examined.returncode == 3
    assert "unable to open database file" in examined.stdout
    assert "Traceback" not in examined.stderr


@pytest.mark.fault("E12")
def test_the_tables_of_a_later_version_are_no_fault(db):
    MigrationRecorder(connection).record_applied("qcore", "0099_of_tomorrow")
    state = tables.examine("default", "qcore")
    assert state.newer == ("0099_of_tomorrow",)
    assert state.fault is None


@pytest.mark.fault("E12")
def test_a_migration_that_is_missing_is_named(db):
    MigrationRecorder(connection).record_unapplied("qcore", "0001_initial")
    state = tables.examine("default", "qcore")
    assert state.unapplied == ("0001_initial",)
    assert "python manage.py migrate qcore --database=default" in str(state.fault)
    assert list(tables.faults()) == [state.fault]


@pytest.fixture
def without_limits(db):
    """Take back a migration of a plugin that decides about tasks."""
    pytest.importorskip("qcore_limits")
    assert list(tables.faults()) == []
    MigrationRecorder(connection).record_unapplied("qcore_limits", "0001_initial")


@pytest.mark.fault("E12")
def test_the_tables_of_a_feature_that_are_missing_are_named(without_limits):
    """So a cluster does not start, and the doctor says it."""
    (fault,) = tables.faults()
    assert "migrations are missing: 0001_initial" in fault
    assert "migrate qcore_limits --database=default" in fault
    (told,) = [one for one in databases() if one.level == "error"]
    assert told.fact == fault.partition(". Run:")[0]
    assert "migrate qcore_limits --database=default" in told.advice


def test_a_check_with_a_database_names_them_but_not_before_migrate(
    without_limits, monkeypatch
):
    (told,) = run_checks(tags=["qcore"], databases=["default"])
    assert (told.id, told.is_serious()) == ("qcore.W017", False)
    assert "not ready for qcore_limits: migrations are missing" in told.msg
    assert told.hint == "Run: python manage.py migrate qcore_limits --database=default"
    assert run_checks(tags=["qcore"]) == []  # it needs no server
    monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
    assert run_checks(tags=["qcore"], databases=["default"]) == []


def test_the_tables_of_a_plugin_that_observes_keep_no_cluster_from_starting(db):
    pytest.importorskip("qcore_dashboard")
    assert list(tables.doubts()) == []
    MigrationRecorder(connection).record_unapplied("qcore_dashboard", "0001_initial")
    assert list(tables.faults()) == []
    (doubt,) = tables.doubts()
    assert "migrate qcore_dashboard --database=default" in doubt


def test_tables_made_without_migrations_will_do(db, settings):
    settings.MIGRATION_MODULES = {"qcore": None}
    assert tables.examine("default", "qcore").fault is None


def test_replaced_migrations_count_as_applied(db, monkeypatch):
    every = tables._names("qcore")
    squashed = {"0001_squashed": every}
    monkeypatch.setattr(tables, "_names", lambda label: set(squashed))
    monkeypatch.setattr(tables, "_replacements", lambda label, names: squashed)
    state = tables.examine("default", "qcore")
    assert (state.unapplied, state.newer) == ((), ())


def test_what_a_migration_replaces_is_read_where_the_names_differ(db):
    MigrationRecorder(connection).record_unapplied("qcore", "0008_overlap")
    MigrationRecorder(connection).record_applied("qcore", "9999_later")
    state = tables.examine("default", "qcore")
    assert (state.unapplied, state.newer) == (("0008_overlap",), ("9999_later",))


def test_no_migration_is_loaded_where_all_are_applied(db, monkeypatch):
    """They would be in the memory of a cluster for as long as it runs."""
    asked = []
    monkeypatch.setattr(tables, "_replacements", lambda *which: asked.append(which))
    assert tables.examine("default", "qcore").fault is None
    assert asked == []


def test_what_is_required_follows_the_routers(settings):
    settings.Q_CLUSTER = {"name": "shop", "orm": "default"}
    assert tables.required() == {"default": {"qcore", "qcore_orm"}}


def test_the_database_of_the_ledger_needs_the_tables_too(settings, monkeypatch):
    settings.Q_CLUSTER = {"name": "shop", "orm": "default", "ledger": "tasks"}
    monkeypatch.setitem(connections.settings, "tasks", connections.settings["default"])
    assert tables.required() == {
        "default": {"qcore", "qcore_orm"},
        "tasks": {"qcore"},
    }


@pytest.mark.django_db
def test_the_command_of_django_is_the_same(capsys):
    from io import StringIO

    out = StringIO()
    call_command("qdoctor", stdout=out)
    assert "no package is in quarantine" in out.getvalue()


def test_tables_that_nothing_selected_uses_are_not_required(settings):
    settings.Q_CLUSTER = {
        "memory": {},
        "result_store": "memory",
        "scheduler_class": "chores.strangers.Clock",
    }
    assert tables.required() == {}
    settings.Q_CLUSTER["scheduler_class"] = "orm"
    current.reset()
    assert tables.required() == {"default": {"qcore"}}


@pytest.mark.live
def test_a_project_without_a_database_is_told_what_to_set(tmp_path: Path):
    """Not a traceback of Django's: neither of the cluster nor of what looks at it."""
    settings = """
SECRET_KEY = "a key for tests, of no use to anybody"
USE_TZ = True
INSTALLED_APPS = ["qcore"]
Q_CLUSTER = {"name": "shop", "memory": {}, "workers": 1}
"""
    folder = write_project(tmp_path, settings)
    for words in (["cluster", "--run-once"], ["info"], ["quarantine", "list"]):
        done = qcore(folder, *words)
        assert done.returncode == 2, words
        assert "DATABASES has no ENGINE for it. Set DATABASES['default']" in done.stderr
        assert "Q_CLUSTER['result_store']" in done.stderr
        assert "Traceback" not in done.stderr
    examined = qcore(folder, "doctor")
    assert examined.returncode == 3
    assert examined.stdout.count("there is no database 'default'") == 1
    assert "ImproperlyConfigured" not in examined.stdout


def test_a_database_that_nobody_describes_is_told(settings, monkeypatch):
    """A router may name an alias that DATABASES does not have."""
    settings.Q_CLUSTER = {"broker_class": "qcore.brokers.memory.MemoryBroker"}
    monkeypatch.setattr(tables, "required", lambda: {"elsewhere": {"qcore"}})
    # without the alias, nobody is asked for the ledger
    monkeypatch.setattr(tables, "of_plugins", None)
    (fault,) = tables.faults()
    assert "there is no database 'elsewhere'" in fault
