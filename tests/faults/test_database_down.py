"""A PostgreSQL that restarts, ends sessions and takes no writes; schedules on it."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from chores.ledger import wait_for
from django.db import connection
from faults.evidence import history_of, send_naps
from faults.judge import Fault, check_history

from qcore.current import current
from qcore.errors import BrokerUnavailable
from qcore.tasks import async_task, fetch, result, schedule

#: Minutes in all, and about servers and signals more than about Python.
pytestmark = pytest.mark.once


def run(sql):
    """Run a statement as the administrator, on this process's connection."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def reconnect():
    """Drop this process's connection, which a restart has ended."""
    current.close()
    connection.close()


def await_result(task_id, value):
    record = wait_for(lambda: (r := fetch(task_id)) and r.success and r, 20)
    assert record.result == value
    return record


@pytest.mark.fault("E1")
def test_a_result_waits_for_a_store_that_is_down(results_on_postgres, ledger, key):
    """The task has succeeded: it is stored when that can be done, and not run again."""
    place = results_on_postgres
    cluster = place.start()
    before = {cluster.dispatcher, *cluster.workers}
    task_id = async_task("chores.kind.nap", key, 0.3, cluster=place.queue)
    ledger.wait(key, "began")
    reconnect()
    place.server.stop()
    try:
        ledger.wait(key, "ended")
        cluster.wait_for(lambda: "cannot store results" in cluster.log)
        broker = current.broker(place.queue)
        time.sleep(2.5)  # longer than a lease: it is renewed while the result waits
        assert (broker.queue_size(), broker.lock_size()) == (0, 1)
    finally:
        place.server.start()
    assert await_result(task_id, key).attempt_count == 1
    cluster.wait_idle()
    assert len(ledger.entries(key, "began")) == 1
    assert {cluster.dispatcher, *cluster.workers} == before


@pytest.mark.fault("E1")
def test_what_could_not_be_stored_before_a_stop_is_delivered_again(
    results_on_postgres, ledger, key
):
    """Nothing that is not stored is acknowledged."""
    place = results_on_postgres
    cluster = place.start(shutdown_grace=0.2)
    task_id = async_task("chores.kind.nap", key, 0.2, cluster=place.queue)
    ledger.wait(key, "began")
    reconnect()
    place.server.stop()
    try:
        cluster.wait_for(lambda: "cannot store results" in cluster.log)
        cluster.stop()
    finally:
        place.server.start()
    place.start()
    assert await_result(task_id, key).attempt_count == 2
    assert len(ledger.entries(key, "began")) == 2


@pytest.mark.fault("E5")
def test_a_session_that_was_ended_between_two_tasks_is_nobodys_affair(on_postgres):
    cluster = on_postgres.start(workers=1)
    for _ in range(2):
        task_id = async_task("chores.rude.count_schedules", cluster=on_postgres.queue)
        assert result(task_id, wait=10_000) is not None
        cluster.wait_idle()
        run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    task_id = async_task("chores.rude.count_schedules", cluster=on_postgres.queue)
    assert fetch(task_id, wait=10_000).success
    assert fetch(task_id).attempt_count == 1


@pytest.mark.fault("E6")
def test_a_session_that_ends_in_a_task_is_its_failure(on_postgres):
    """It is stored over another connection, and the worker's next task has a new one."""
    cluster = on_postgres.start(workers=1)
    before = cluster.workers
    task_id = async_task(
        "chores.rude.end_its_session", cluster=on_postgres.queue, max_attempts=1
    )
    record = fetch(task_id, wait=10_000)
    assert not record.success
    assert "OperationalError" in record.result or "AdminShutdown" in record.result
    again = async_task("chores.rude.count_schedules", cluster=on_postgres.queue)
    assert fetch(again, wait=10_000).success
    assert cluster.workers == before, "the worker has lived through it"


@pytest.mark.fault("D2")
@pytest.mark.fault("E7")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_restart_under_load_loses_nothing(on_postgres, ledger, key, end, monkeypatch):
    """Queue and results in it: fast, immediate, and as a power cut would."""
    cluster = on_postgres.start(retry=20)
    before = {cluster.dispatcher, *cluster.workers}
    sent = send_naps(on_postgres.queue, key, count=16, seconds=0.15)
    ledger.wait(f"{key} 3", "began")
    fault = time.monotonic()
    reconnect()
    server = on_postgres.server
    if end == signal.SIGKILL:
        server.kill()
    else:
        monkeypatch.setattr(server, "stop_signal", end)
        server.stop()
    cluster.wait_for(lambda: "trying again in" in cluster.log)
    server.start()
    outage = Fault(fault, time.monotonic())
    for number, task_id in enumerate(sent):
        await_result(task_id, f"{key} {number}")
    cluster.wait_idle()
    assert {cluster.dispatcher, *cluster.workers} == before, "no process has died"
    check_history(history_of(sent, ledger, on_postgres.queue, faults=[outage]))


@pytest.mark.fault("E9")
def test_a_database_that_takes_no_writes_is_waited_for(on_postgres, ledger, key):
    cluster = on_postgres.start()
    async_task("chores.kind.record", f"{key} before", cluster=on_postgres.queue)
    ledger.wait(f"{key} before", "ran")
    cluster.wait_idle()
    _read_only(True)
    try:
        with pytest.raises(BrokerUnavailable, match="read-only"):
            async_task("chores.kind.add", 1, cluster=on_postgres.queue)
        cluster.wait_for(lambda: "read-only" in cluster.log)
    finally:
        _read_only(False)
    async_task("chores.kind.record", key, cluster=on_postgres.queue)
    ledger.wait(key, "ran")
    cluster.wait_idle()
    assert cluster.exit_code is None
    assert "Traceback" not in cluster.log


def _read_only(yes):
    reconnect()
    run("SET default_transaction_read_only = off")
    run(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if yes else 'off'}")
    run("SELECT pg_reload_conf()")
    reconnect()
    wait_for(lambda: _is_read_only() == yes, 5, "change of the server's setting")


def _is_read_only():
    reconnect()
    return run("SHOW default_transaction_read_only") == [("on",)]


@pytest.mark.fault("F1")
@pytest.mark.fault("F2")
def test_two_clusters_fire_each_slot_once(on_postgres, ledger, key):
    names = [f"{key} {number}" for number in range(20)]
    for name in names:
        schedule("chores.kind.record", name, cluster=on_postgres.queue)
    both = [None, None]

    def start(place):
        both[place] = on_postgres.start()

    threads = [threading.Thread(target=start, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        ledger.wait(name, "ran")
    for cluster in both:
        cluster.wait_idle()
    assert {len(ledger.entries(name)) for name in names} == {1}
