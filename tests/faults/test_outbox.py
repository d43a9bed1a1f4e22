"""Senders that are killed between any two of their steps, and the cluster that sends on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.db.models import F

from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.tasks import fetch

if TYPE_CHECKING:
    from chores.ledger import Ledger

HERE = Path(__file__).resolve().parents[1]

#: About databases and processes more than about Python.
pytestmark = pytest.mark.once

#: Calls a task in a transaction, and is killed at the place that its argument names.
SENDER = """
import json, os, signal, sys

import django
from django.conf import settings

place, given = sys.argv[1], json.loads(sys.argv[2])
settings.configure(**given)
django.setup()

from django.db import transaction
from qcore.ledger.outbox import Outbox
from qcore.tasks import async_task, outgoing, sending

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if place == "before the send":
    outgoing.Outgoing.send = die
if place == "before the delete":
    Outbox.delete_tasks = die
with transaction.atomic():
    task_id = async_task("chores.kind.nap", sys.argv[3], 0.01)
    print(task_id, flush=True)
    if place == "before the commit":
        die()
"""


def send_and_die(place, where: str, key: str) -> str:
    """Return the id that a sender was given before it was killed."""
    database = {
        "ENGINE": connection.settings_dict["ENGINE"],
        "NAME": str(connection.settings_dict["NAME"]),
    }
    given = {
        "SECRET_KEY": current.conf.secret_keys[0],
        "INSTALLED_APPS": ["qcore"],
        "DATABASES": {"default": database},
        "USE_TZ": True,
        "Q_CLUSTER": place.settings | {"cluster_name": place.queue},
    }
    run = subprocess.run(
        [sys.executable, "-c", SENDER, where, json.dumps(given), key],
        env=os.environ | {"PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    return run.stdout.strip()


def let_claims_end() -> None:
    OutboxRow.objects.update(due=F("due") - 60)


def begun(ledger: Ledger, key: str) -> int:
    return len([entry for entry in ledger.entries(key) if entry.event == "began"])


@pytest.mark.fault("C12")
def test_a_sender_that_is_killed_loses_nothing_that_was_committed(on_redis, ledger):
    """Killed in each place once: a cluster runs what was committed, and nothing else."""
    never = send_and_die(on_redis, "before the commit", "never")
    assert OutboxRow.objects.count() == 0
    unsent = send_and_die(on_redis, "before the send", "unsent")
    sent = send_and_die(on_redis, "before the delete", "sent")
    rows = OutboxRow.objects.values_list("task_id", flat=True)
    assert sorted(rows) == sorted([unsent, sent])
    cluster = on_redis.start()
    assert fetch(sent, wait=60_000).success, "it is in the queue already"
    assert fetch(unsent) is None, "its sender might yet be alive"
    let_claims_end()
    assert fetch(unsent, wait=60_000).success
    cluster.wait_for(lambda: not OutboxRow.objects.exists(), what="an empty outbox")
    cluster.wait_idle()
    assert [begun(ledger, key) for key in ("never", "unsent", "sent")] == [0, 1, 1]
    assert fetch(never) is None


@pytest.mark.fault("C13")
def test_a_cluster_that_is_killed_while_it_relays_loses_nothing(on_redis, ledger):
    """Its claims end, and the next cluster sends what it had: once more, if need be."""
    from qcore.ledger.outbox import Outbox
    from qcore.tasks import async_task

    with pytest.MonkeyPatch.context() as patch:
        # as for a month's delay on any broker
        patch.setattr("qcore.tasks.sending.can_delay", lambda *_: False)
        ids = [
            async_task(
                "chores.kind.nap", "relayed", 0.01, delay=1, cluster=on_redis.queue
            )
            for _ in range(50)
        ]
    assert OutboxRow.objects.count() == 50
    outbox = Outbox(current.conf)
    let_claims_end()
    dead = outbox.claim(on_redis.queue, "of one that dies", limit=30, size=10**8)
    current.broker(on_redis.queue).enqueue_many([row.package for row in dead[:10]])
    cluster = on_redis.start()
    for task_id in [row.task_id for row in dead[:10]] + ids[30:]:
        assert fetch(task_id, wait=60_000).success
    let_claims_end()
    for task_id in ids:
        assert fetch(task_id, wait=60_000).success
    cluster.wait_for(lambda: not OutboxRow.objects.exists(), what="an empty outbox")
    cluster.wait_idle()
    assert begun(ledger, "relayed") == 50, "what came twice was recognised"
