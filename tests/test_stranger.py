"""A stranger's plugin with one of each kind, from a wheel, and a cluster that runs on it.

Neither qcore's own brokers nor its tables are there: the queue, the cache, the schedules
and the results are the stranger's, and so is what reports failures. Slow; the session
``install`` runs it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from documents.project import Project
from support.bare_environment import Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = ("broker", "reporter", "cache", "scheduler", "store")
SETTINGS = """
SECRET_KEY = "of tests alone"
USE_TZ = True
INSTALLED_APPS = ["qcore"]
PLACE = {"path": PLACE_OF_THE_TEST}
Q_CLUSTER = {
    "name": "shop",
    "workers": 1,
    "timeout": 30,
    "max_attempts": 1,
    "acme": PLACE,
    "error_reporter": {"acme": {"path": PLACE["path"] + "/failures"}},
}
BY_CLAIM = {"acme_cache": PLACE, "acme_scheduler": PLACE, "acme_store": PLACE}
BY_NAME = {
    **{"cache_backend": "acme", "scheduler_class": "acme", "result_store": "acme"},
    **BY_CLAIM,
}
Q_CLUSTER |= BY_HOW_OF_THE_TEST
"""
TASKS = """
def charge(order):
    raise LookupError(f"order {order} has no card")

def add(left, right):
    return left + right
"""
SEND = """
import django
django.setup()
from qcore.tasks import async_task, schedule
print(async_task("shop_tasks.add", 1, 2))
print(async_task("shop_tasks.add", 3, 4, cached=True))
print(async_task("shop_tasks.charge", 4711))
print(schedule("shop_tasks.add", 5, 6, name="sums"))
"""
LOOK = """
import json
import sys

import django
django.setup()
from qcore import status
from qcore.runtime import current
from qcore.tasks import fetch, fetch_group, result, result_cached
plain, cached, failed = sys.argv[1:4]
print(json.dumps({
    "kinds": [
        type(one).__module__
        for one in (current.broker(), current.cache, current.scheduler, current.store())
    ],
    "plain": result(plain, wait=30_000),
    "cached": result_cached(cached, wait=30_000),
    "not there": result(cached),
    "failed": fetch(failed, wait=30_000).success,
    "scheduled": [one.result for one in fetch_group("sums", wait=30_000, count=1)],
    "route": status.route(),
    "clusters": len(status.running()),
}))
"""


@pytest.fixture(scope="module")
def acme(
    tmp_path_factory: pytest.TempPathFactory, _with_pip: Path, dist: Path
) -> Environment:
    """A bare environment into which the core and a wheel of the stranger's have come."""
    folder = tmp_path_factory.mktemp("acme")
    bare = Environment.like(_with_pip, folder / "bare")
    bare.pip("install", "-q", "--find-links", str(dist), "qcore>=2")
    kinds = [word for kind in KINDS for word in ("--kind", kind)]
    bare.run("qcore", "plugin", "new", "acme", "--path", str(folder), *kinds)
    source = str(folder / "qcore-acme")
    wheels = str(folder / "wheels")
    bare.pip("wheel", "-q", "--no-deps", "-w", wheels, source)
    links = ["--find-links", wheels, "--find-links", str(dist)]
    bare.pip("install", "-q", *links, "qcore-acme>=0.1")
    return bare


@pytest.mark.parametrize("how", ["BY_CLAIM", "BY_NAME"])
def test_a_cluster_runs_on_what_a_stranger_made(
    acme: Environment, tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = Project(folder)
    project.use_programs(acme.folder / "bin")
    project.env["DJANGO_SETTINGS_MODULE"] = "shop_settings"
    project.env["PYTHONPATH"] = str(folder)
    place = tmp_path / "place"
    place.mkdir()
    settings = SETTINGS.replace("PLACE_OF_THE_TEST", repr(str(place)))
    project.write("shop_settings.py", settings.replace("BY_HOW_OF_THE_TEST", how))
    project.write("shop_tasks.py", TASKS)

    listed = json.loads(project.run("qcore plugins --json"))
    (acme,) = [one for one in listed["plugins"] if one["name"] == "acme"]
    assert (acme["state"], len(acme["kinds"])) == ("ok", 5)
    chosen = {kind: one["name"] for kind, one in listed["selected"].items()}
    assert set(chosen.values()) == {"acme"}
    assert "no issues" in project.run(
        "django-admin check --tag qcore --fail-level ERROR"
    )

    plain, cached, failed, _ = project.run("python -", stdin=SEND).splitlines()
    with project.cluster():
        line = f"python - {plain} {cached} {failed}"
        seen = json.loads(project.run(line, stdin=LOOK))
    modules = [
        f"qcore_acme.{kind}" for kind in ("broker", "cache", "scheduler", "store")
    ]
    assert seen == {
        "kinds": modules,
        "plain": 3,
        "cached": 7,
        "not there": None,
        "failed": False,
        "scheduled": [11],
        "route": "cache",
        "clusters": 1,
    }
    (failure,) = (place / "failures").read_text().splitlines()
    assert "order 4711 has no card" in json.loads(failure)["exception"]
    assert not list(folder.rglob("db.sqlite3"))
