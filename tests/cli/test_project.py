from __future__ import annotations

from pathlib import Path

import pytest
from support.cli_project import SETTINGS, write_project

from qcore.cli.project import find, nearby_manage
from qcore.errors import ConfigError


def test_the_option_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "from_environment")
    assert find("info", "from_option", None) == "from_option"
    assert find("info", None, None) == "from_environment"


@pytest.mark.parametrize(
    "line",
    [
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a.settings")',
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE','a.settings')",
        'os.environ.setdefault(\n        "DJANGO_SETTINGS_MODULE", "a.settings"\n    )',
        'os.environ["DJANGO_SETTINGS_MODULE"] = "a.settings"',
    ],
)
def test_manage_py_is_read_as_people_write_it(line, tmp_path, monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    manage = tmp_path / "manage.py"
    manage.write_text(f"import os\ndef main():\n    {line}\n")
    assert find("info", None, manage) == "a.settings"


def test_a_comment_in_manage_py_names_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    manage = tmp_path / "manage.py"
    manage.write_text('# os.environ.setdefault("DJANGO_SETTINGS_MODULE", "old")\n')
    with pytest.raises(ConfigError, match="does not set DJANGO_SETTINGS_MODULE"):
        find("info", None, manage)


def test_the_nearest_manage_py_is_taken(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert nearby_manage(inner) != inner / "manage.py"
    (tmp_path / "manage.py").touch()
    assert nearby_manage(inner) == tmp_path / "manage.py"
    (tmp_path / "a" / "manage.py").touch()
    assert nearby_manage(inner) == tmp_path / "a" / "manage.py"


def test_without_settings_it_says_what_to_type(qcore, tmp_path):
    done = qcore(tmp_path, "info")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Type: qcore info --settings mysite.settings" in done.stderr


def test_settings_that_are_not_there_are_named(qcore, tmp_path):
    done = qcore(tmp_path, "info", "--settings", "nowhere.settings")
    assert done.returncode == 2
    assert "'nowhere.settings' cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_traceback_is_shown_when_it_is_asked_for(qcore, tmp_path):
    done = qcore(tmp_path, "info", "--settings", "nowhere.settings", "--traceback")
    assert done.returncode == 1  # as Python ends with an exception
    assert "Traceback" in done.stderr
    assert "ModuleNotFoundError" in done.stderr


def test_settings_without_the_app_are_told(qcore, tmp_path):
    write_project(tmp_path, SETTINGS.replace('"qcore", ', ""))
    done = qcore(tmp_path, "info")
    assert done.returncode == 2
    assert "has no 'qcore'. Add it, and run: python manage.py migrate" in done.stderr


@pytest.mark.once
def test_the_broker_without_its_app_is_told(qcore, tmp_path):
    pytest.importorskip("qcore_orm")
    write_project(tmp_path, SETTINGS.replace(', "qcore_orm"', ""))
    done = qcore(tmp_path, "info")
    assert done.returncode == 2
    assert "Add 'qcore_orm' to INSTALLED_APPS and run" in done.stderr


def test_settings_that_raise_are_told_in_one_line(qcore, tmp_path):
    write_project(tmp_path, "raise RuntimeError('half written')\n")
    done = qcore(tmp_path, "info")
    assert done.returncode == 2
    assert "RuntimeError: half written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_in_an_app_is_told_at_its_place(qcore, tmp_path):
    app = "from django.apps import AppConfig\nclass Shop(AppConfig:\n"
    (tmp_path / "shop.py").write_text(app)
    write_project(tmp_path, SETTINGS.replace('"qcore", ', '"qcore", "shop", '))
    done = qcore(tmp_path, "info")
    assert done.returncode == 2
    assert "SyntaxError" in done.stderr
    assert f'"{tmp_path / "shop.py"}", line 2' in done.stderr
    assert "django/" not in done.stderr


@pytest.mark.fault("J1")
def test_a_wrong_setting_is_told_by_every_verb(qcore, tmp_path):
    write_project(tmp_path, SETTINGS.replace("workers", "worker"))
    for verb in ("cluster", "info", "monitor", "memory"):
        done = qcore(tmp_path, verb)
        assert done.returncode == 2, verb
        assert "did you mean 'workers'?" in done.stderr


@pytest.mark.fault("J2")
def test_a_value_of_the_wrong_type_stops_a_cluster(qcore, tmp_path):
    write_project(tmp_path, SETTINGS + "\nQ_CLUSTER['timeout'] = '60'\n")
    done = qcore(tmp_path, "cluster")
    assert done.returncode == 2
    assert "Q_CLUSTER['timeout'] is '60' (str), expected a number" in done.stderr


def test_tables_that_are_missing_are_told(qcore, tmp_path):
    pytest.importorskip("qcore_orm")
    write_project(tmp_path)
    done = qcore(tmp_path, "info")
    assert done.returncode == 2
    assert done.stderr.count("not ready for") == 2
    assert "Run: python manage.py migrate qcore --database=default" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_project_is_found_from_a_folder_inside_it(qcore, project: Path):
    inner = project / "deep" / "inside"
    inner.mkdir(parents=True)
    done = qcore(inner, "info")
    assert done.returncode == 3, done.stderr
    assert "project shop" in done.stdout
