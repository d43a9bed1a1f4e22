"""The main promise, as a user has it: ``pip install "qcore[sqs,sentry]>=2"``, and it works.

From a wheelhouse into a bare environment; a cluster there takes a task from SQS, the task
fails, and the failure is at Sentry. SQS is moto; Sentry is a server of the tests that takes
what Sentry's client sends. Slow; the session ``install`` runs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents.project import Project
from servers.base import ServerMissing
from servers.sink import Sink
from servers.sqs import REGION, MotoServer
from support.bare_environment import VERSION, Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SETTINGS = """
from pathlib import Path

SECRET_KEY = "of tests alone"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["qcore"]
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).parent / "db.sqlite3",
    }}
}}
Q_CLUSTER = {{
    "name": "shop",
    "workers": 1,
    "timeout": 30,
    "retry": 60,
    "max_attempts": 1,
    "sqs": {{
        "aws_region": "{region}",
        "aws_access_key_id": "AKIATESTS",
        "aws_secret_access_key": "of tests alone",
        "endpoint_url": "{sqs}",
    }},
    "error_reporter": {{"sentry": {{"dsn": "{dsn}"}}}},
}}
"""
TASKS = """
def charge(order):
    raise LookupError(f"order {order} has no card")
"""
SEND = """
import django
django.setup()
from qcore.runtime import current
from qcore.tasks import async_task
print(type(current.broker()).__name__)
print(async_task("shop_tasks.charge", 4711))
"""
LOOK = """
import django
django.setup()
from qcore.tasks import fetch
task = fetch({id!r}, wait=60_000)
print(task.success, task.attempt_count)
print(task.result)
"""


@pytest.fixture
def sqs() -> Iterator[MotoServer]:
    try:
        server = MotoServer()
    except ServerMissing as fact:
        if os.environ.get("CI") == "true":
            pytest.fail(str(fact))
        pytest.skip(str(fact))
    server.start()
    yield server
    server.close()


@pytest.fixture
def sentry() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory, _with_pip: Path, dist: Path
) -> Environment:
    """A bare environment after the line that the README prints."""
    bare = Environment.like(_with_pip, tmp_path_factory.mktemp("installed") / "bare")
    bare.pip("install", "-q", "--find-links", str(dist), "qcore[sqs,sentry]>=2")
    return bare


def test_a_failure_goes_from_sqs_to_sentry(
    installed: Environment, sqs: MotoServer, sentry: Sink, tmp_path: Path
) -> None:
    versions = installed.versions()
    for name in ("qcore", "qcore-sqs", "qcore-sentry"):
        assert versions[name] == VERSION
    assert "qcore-orm" not in versions

    project = Project(tmp_path)
    project.use_programs(installed.folder / "bin")
    project.env["DJANGO_SETTINGS_MODULE"] = "shop_settings"
    project.env["PYTHONPATH"] = str(tmp_path)
    settings = SETTINGS.format(region=REGION, sqs=sqs.url, dsn=sentry.dsn)
    project.write("shop_settings.py", settings)
    project.write("shop_tasks.py", TASKS)
    project.run("django-admin migrate --verbosity 0")

    broker, id = project.run("python -", stdin=SEND).splitlines()
    assert broker == "SQSBroker"
    with project.cluster():
        seen = project.run("python -", stdin=LOOK.format(id=id)).splitlines()
        (event,) = sentry.wait("events")

    assert seen[0] == "False 1"
    assert "order 4711 has no card" in seen[1]
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == (
        "LookupError",
        "order 4711 has no card",
    )
    assert raised["stacktrace"]["frames"][-1]["function"] == "charge"
    assert event["tags"]["qcore.task_id"] == id
    assert sentry.requests[0].path == "/api/42/envelope/"


def test_what_is_installed_is_listed(installed: Environment) -> None:
    found = installed.plugins()
    assert {found[name]["state"] for name in ("sqs", "sentry")} == {"ok"}
    assert found["sqs"]["kinds"] == ["broker"]
    assert found["sentry"]["kinds"] == ["error reporter"]
    assert found["redis"]["state"] == "not installed"
    assert found["redis"]["install"].endswith('--find-links dist "qcore[redis]>=2"')
