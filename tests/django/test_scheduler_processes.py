"""Clusters in processes of their own, on one SQLite file: each slot is sent once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROLOGUE = """
import django
django.setup()
from qcore.models import Schedule
"""

PREPARE = """
from django.core.management import call_command
from django.db import connection
call_command("migrate", verbosity=0)
with connection.cursor() as cursor:
    cursor.execute("PRAGMA journal_mode=WAL")
for n in range(200):
    Schedule.objects.create(func="math.sqrt", args="[4]", schedule_type="H")
"""

TICK = """
import sys
from qcore.runtime import current
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    current.scheduler.tick()
for delivery in current.broker().dequeue(1000):
    print(current.signer.verify(delivery.package).id)
"""


def start(code: str, database: Path) -> subprocess.Popen[str]:
    tests = Path(__file__).parents[1]
    own = {
        "DJANGO_SETTINGS_MODULE": "memory_settings",
        "PYTHONPATH": os.pathsep.join([str(tests), str(database.parent)]),
        "QCORE_TEST_DB": "sqlite",
        "QCORE_TEST_DB_NAME": str(database),
    }
    (database.parent / "memory_settings.py").write_text(
        "from settings import *\n"
        "Q_CLUSTER = {'name': 'tests',"
        " 'broker_class': 'qcore.brokers.memory.MemoryBroker'}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROLOGUE + code],
        env=os.environ | own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.once
@pytest.mark.fault("F1")
@pytest.mark.fault("F2")
def test_ten_clusters_send_two_hundred_slots_once(sqlite_file: Path):
    prepared = start(PREPARE, sqlite_file)
    prepared.communicate(timeout=280)
    assert prepared.returncode == 0
    clusters = [start(TICK, sqlite_file) for _ in range(10)]
    for cluster in clusters:
        assert cluster.stdout.readline() == "ready\n"
    for cluster in clusters:
        cluster.stdin.write("go\n")
        cluster.stdin.flush()
    outputs = [cluster.communicate(timeout=280)[0] for cluster in clusters]
    assert [cluster.returncode for cluster in clusters] == [0] * 10
    sent = [line for output in outputs for line in output.split()]
    assert len(sent) == len(set(sent)) == 200
