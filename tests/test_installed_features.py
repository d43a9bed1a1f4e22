"""The wheels of qcore-limits and qcore-flows, and a cluster that runs on them.

The environment has these two, the core and a broker, and no checkout: what the packages
leave out is missing here. Slow; the session ``install`` runs it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from documents.project import Project
from support.bare_environment import VERSION, Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIMITS = """
Q_CLUSTER |= {"limits": {"smtp": {"concurrency": 4}}, "max_attempts": 1}
"""
TASKS = """
import os
import time

from qcore import task
from qcore_flows import sleep_until, step

def note(text):
    place = os.open(os.environ["SHOP_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(place, text.encode())
    os.close(place)

def call(customer):
    note("+")
    time.sleep(0.05)  # long enough for another one to begin, were there no limit
    note("-")

def sync():
    return "once"

def load(number):
    if number == 2:
        raise LookupError(f"row {number} is not there")

def loaded(name):
    return f"{name} has ended"

def price(item):
    return 20 + item

def add_up(prices):
    return sum(prices)

@task(durable=True)
def remind(name):
    step("first", note, "first ")
    sleep_until("a moment", 0.1)
    step("second", note, "second ")
    return name
"""
SEND = """
import json

import django
django.setup()
from qcore.tasks import async_task
from qcore_flows import Batch, Flow
from qcore_limits import Limit

limit = Limit("api", concurrency=1, key="{customer}")
with Batch("rows") as batch:
    batch.on_complete("shop_tasks.loaded", "rows", group="callbacks")
    batch.add_many("shop_tasks.load", [1, 2, 3])
with Flow("order") as flow:
    prices = [flow.add("shop_tasks.price", item) for item in (0, 2)]
    total = flow.add("shop_tasks.add_up", prices)
print(json.dumps({
    "calls": [
        async_task("shop_tasks.call", 17, q_options={"limits": limit}) for _ in range(4)
    ],
    "unique": [async_task("shop_tasks.sync", unique=True) for _ in range(2)],
    "mail": async_task("shop_tasks.sync", q_options={"limits": "smtp"}),
    "batch": batch.id,
    "total": total.id,
    "durable": async_task("shop_tasks.remind", "Ann"),
}))
"""
LOOK = """
import json
import sys

import django
django.setup()
from qcore.tasks import fetch, fetch_group, result
from qcore_flows import Batch

LONG = 120_000
sent = json.loads(sys.argv[1])
print(json.dumps({
    "calls": [fetch(one, wait=LONG).success for one in sent["calls"]],
    "unique": [result(one, wait=LONG) for one in sent["unique"]],
    "mail": result(sent["mail"], wait=LONG),
    "callback": [one.result for one in fetch_group("callbacks", wait=LONG, count=1)],
    "total": result(sent["total"], wait=LONG),
    "durable": result(sent["durable"], wait=LONG),
    "batch": Batch.get(sent["batch"]).status().state,
}))
"""


def test_a_cluster_runs_limits_and_flows_from_wheels(
    bare: Environment, dist: Path, tmp_path: Path
) -> None:
    wanted = "qcore[orm,limits,flows]>=2"
    bare.pip("install", "-q", "--find-links", str(dist), wanted)
    installed = bare.versions()
    ours = ("qcore", "qcore-orm", "qcore-limits", "qcore-flows")
    assert {installed[name] for name in ours} == {VERSION}
    assert {bare.plugins()[name]["state"] for name in ("limits", "flows")} == {"ok"}

    folder, log = tmp_path / "project", tmp_path / "log"
    folder.mkdir()
    project = Project(folder)
    project.use_programs(bare.folder / "bin")
    project.env["SHOP_LOG"] = str(log)
    project.use_settings(LIMITS)
    project.write("shop_tasks.py", TASKS)
    project.run("django-admin migrate --verbosity 0")
    check = project.run("django-admin check --tag qcore --fail-level ERROR")
    assert "no issues" in check

    sent = json.loads(project.run("python -", stdin=SEND))
    first, second = sent["unique"]
    assert first == second  # nothing has run yet, so the first one has the key
    with project.cluster():
        seen = json.loads(project.run(f"python - '{json.dumps(sent)}'", stdin=LOOK))
        shown = json.loads(project.run("qcore flows --json"))
        limits = json.loads(project.run("qcore limits --json"))

    assert seen == {
        "calls": [True, True, True, True],
        "unique": ["once", "once"],
        "mail": "once",
        "callback": ["rows has ended"],
        "total": 42,
        "durable": "Ann",
        "batch": "failed",  # one of its rows has
    }
    noted = log.read_text().replace("first ", "").replace("second ", "")
    assert noted == "+-" * 4, "two calls for one customer ran at once"
    assert log.read_text().index("first ") < log.read_text().index("second ")
    assert {flow["name"] for flow in shown["flows"]} >= {"rows", "order"}
    assert {limit["name"] for limit in limits["limits"]} >= {"smtp", "api"}
