"""What the kit offers to the tests of a plugin besides the contracts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qcore import Conf, Setting
from qcore.brokers.memory import MemoryBroker
from qcore.errors import ConfigError
from qcore.testing.brokers import opened_brokers
from qcore.testing.project import configure, minimal_settings

SCRIPT = """
from qcore.testing.project import configure
configure(TIME_ZONE="Europe/Paris")
configure(TIME_ZONE="Europe/Rome")
from django.conf import settings
from django.core.management import call_command
from qcore.tasks import async_task, result
from qcore.testing.drain import drain
call_command("migrate", verbosity=0)
task_id = async_task("math.floor", 3.5)
print(drain().succeeded, result(task_id), settings.TIME_ZONE)
"""
PROJECT = """
[pytest]
DJANGO_SETTINGS_MODULE = qcore.testing.project
"""
TEST = """
import pytest
from qcore.models import Success
from qcore.tasks import async_task
from qcore.testing.drain import drain

@pytest.mark.django_db
def test_a_task_runs():
    async_task("math.floor", 3.5)
    assert drain().succeeded == 1
    assert Success.objects.count() == 1
"""


class Recorded(MemoryBroker):
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.live
def test_the_settings_are_enough_for_a_task() -> None:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert (found.stdout, found.stderr) == ("1 3 Europe/Paris\n", "")


@pytest.mark.live
def test_pytest_takes_the_settings_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(PROJECT)
    (tmp_path / "test_project.py").write_text(TEST)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # the variable of this run would win over the file
    inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    found = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=tmp_path, env=inherited
    )
    assert "1 passed" in found.stdout, found.stdout + found.stderr


def test_apps_and_values_are_added_to_the_settings() -> None:
    found = minimal_settings("shop", TIME_ZONE="Europe/Paris", Q_CLUSTER={"name": "s"})
    assert found["INSTALLED_APPS"] == ["qcore", "shop"]
    assert (found["TIME_ZONE"], found["Q_CLUSTER"]) == ("Europe/Paris", {"name": "s"})
    assert minimal_settings()["Q_CLUSTER"]["commit"] == "now"


def test_settings_that_are_there_are_left_alone(settings) -> None:
    before = settings.SECRET_KEY
    configure(SECRET_KEY="another")
    assert before == settings.SECRET_KEY


def test_opened_brokers_are_closed_and_have_queues_of_their_own() -> None:
    with opened_brokers(Recorded) as open_one:
        one, other, named = open_one({}), open_one({"retry": 7}), open_one({}, "mine")
        assert one.queue != other.queue
        assert (other.lease, named.queue) == (7, "mine")
    assert [one.closed, other.closed, named.closed] == [1, 1, 1]


def test_opened_brokers_read_what_the_plugin_declares() -> None:
    declared = [Setting("spool", str | None, "A folder.")]
    with (
        opened_brokers(Recorded) as open_one,
        pytest.raises(ConfigError, match="unknown key 'spool'"),
    ):
        open_one({"spool": "/tmp"})
    with opened_brokers(Recorded, declared) as open_one:
        broker = open_one({"spool": "/tmp"})
    assert isinstance(broker.conf, Conf)
    assert broker.conf.options["spool"] == "/tmp"
