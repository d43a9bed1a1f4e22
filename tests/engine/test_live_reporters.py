"""Clusters that report: failures, timeouts and deaths, to both services."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from chores.ledger import let_go, wait_for

from qcore.tasks import async_task, fetch
from qcore.testing.speed import stretched

pytestmark = pytest.mark.once

CANARY = "canary-hunter2"
#: Sentry's own setup without the integrations that look at what else is installed.
QUIET = {"auto_enabling_integrations": False}


@pytest.fixture(params=["sentry", "rollbar"])
def service(request, sink):
    """A reporter's name, its options, and what has come, each as one document."""
    pytest.importorskip({"sentry": "sentry_sdk", "rollbar": "rollbar"}[request.param])
    pytest.importorskip(f"qcore_{request.param}")
    if request.param == "sentry":
        return "sentry", {"dsn": sink.dsn, **QUIET}, "events"
    return (
        "rollbar",
        {"access_token": "t0k3n", "endpoint": sink.endpoint},
        "items",
    )


@pytest.fixture
def reporting(start, service, request):
    """Start a cluster that reports to the service, on a queue of its own."""
    name, options, _ = service
    queue = f"reporting {request.node.name}"

    def begin(**settings):
        chosen = {"error_reporter": {name: options}, **settings}
        return queue, start(queue=queue, **chosen)

    return begin


def about(sink, kind, task_id, count=1):
    """Wait for what was reported of a task, and return it as one text."""
    found = wait_for(
        lambda: (
            own
            if len(own := [e for e in getattr(sink, kind) if task_id in json.dumps(e)])
            >= count
            else None
        ),
        what=f"report of {task_id}",
    )
    assert len(found) == count
    return json.dumps(found[-1])


def test_a_failure(reporting, service, sink):
    queue, _ = reporting()
    task_id = async_task("chores.kind.fail", CANARY, cluster=queue, group="shop",
                         task_name="nightly", ack_failure=True)  # fmt: skip
    text = about(sink, service[2], task_id)
    for word in ("ValueError", "chores.kind.fail", queue, "shop", "nightly"):
        assert word in text


@pytest.mark.fault("I3")
@pytest.mark.parametrize("asked", [False, True])
def test_arguments_leave_only_where_they_are_asked_for(reporting, service, sink, asked):
    queue, _ = reporting(report_args=asked)
    # a text and a number cannot be added; the message does not name them
    task_id = async_task("chores.kind.add", CANARY, 1, cluster=queue, ack_failure=True)
    assert (CANARY in about(sink, service[2], task_id)) is asked


def test_a_timeout_and_one_that_must_be_killed(reporting, service, sink, key):
    queue, _ = reporting(max_attempts=1, grace=2)
    timed = {
        "timeout": stretched(1.0),
        "cluster": queue,
    }  # by then each is where it stays
    soft = async_task("chores.kind.nap", key, 30, **timed)
    hard = async_task("chores.rude.hold_interpreter", key, **timed)
    assert "TaskTimeout" in about(sink, service[2], soft)
    assert "killed by SIGKILL" in about(sink, service[2], hard)


def test_a_killed_worker(reporting, service, sink, key, ledger):
    queue, cluster = reporting(timeout=None)
    task_id = async_task("chores.kind.hold", key, cluster=queue)
    (entry,) = ledger.wait(key, "began")
    cluster.kill_worker(entry.pid)
    let_go(key)
    text = about(sink, service[2], task_id)
    assert "killed by SIGKILL" in text
    assert f":{entry.pid}" in text
    assert wait_for(lambda: (r := fetch(task_id)) and r.success)


def test_what_is_left_is_sent_when_the_cluster_stops(reporting, service, sink, ledger):
    """A dozen failures, and at once the end."""
    queue, cluster = reporting()
    ids = [
        async_task("chores.kind.fail_and_note", queue, cluster=queue, ack_failure=True)
        for _ in range(12)
    ]
    ledger.wait(queue, "began", 12)
    assert cluster.stop() == 0
    everything = json.dumps(getattr(sink, service[2]))
    assert [task_id for task_id in ids if task_id not in everything] == []


def test_a_service_that_hangs_stops_nobody(reporting, service, sink, ledger, key):
    sink.open.clear()
    queue, cluster = reporting()
    for _ in range(10):
        async_task("chores.kind.fail", cluster=queue, ack_failure=True)
    async_task("chores.kind.record", key, cluster=queue)
    ledger.wait(key, "ran")
    assert cluster.stop() == 0, "two seconds are given, and no more"


def test_wrong_options_are_one_line_and_tasks_run(start, service, sink, ledger, key):
    name, _, kind = service
    options = {"dsn": f"http://{CANARY}@host/x"} if name == "sentry" else {}
    queue = f"wrong {name}"
    cluster = start(queue=queue, error_reporter={name: options})
    for _ in range(4):
        async_task("chores.kind.fail", cluster=queue, ack_failure=True)
    async_task("chores.kind.record", key, cluster=queue)
    ledger.wait(key, "ran")
    cluster.stop()
    assert cluster.log.count("is left out") == 1
    assert CANARY not in cluster.log
    assert getattr(sink, kind) == []


@pytest.mark.live
def test_neither_driver_is_loaded_unless_it_is_named():
    code = (
        "import django; django.setup();"
        "from qcore.runtime import current; current.conf; current.reporters;"
        "import sys; print(*{m.split('.')[0] for m in sys.modules})"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    loaded = set(done.stdout.split())
    assert loaded & {"sentry_sdk", "rollbar"} == set()
    assert "qcore" in loaded
