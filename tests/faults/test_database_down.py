"""A PostgreSQL that restarts, ends sessions and takes no writes."""

from __future__ import annotations

import signal
import time

import pytest
from chores.cluster_log import own_log
from chores.ledger import let_go, wait_for
from django.conf import settings
from django.db import connection, transaction
from faults.evidence import history_of, ports_of, send_naps
from faults.judge import Fault, check_history

from qcore.errors import BrokerUnavailable
from qcore.models import Schedule
from qcore.runtime import current
from qcore.tasks import async_task, fetch, result

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
    cluster = place.start(retry=place.lease)
    before = {cluster.dispatcher, *cluster.workers}
    task_id = async_task("chores.kind.hold", key, cluster=place.queue)
    ledger.wait(key, "began")
    reconnect()
    place.server.stop()
    let_go(key)
    try:
        ledger.wait(key, "ended")
        cluster.wait_for(lambda: "cannot store results" in cluster.log)
        broker = current.broker(place.queue)
        time.sleep(1.2 * place.lease)  # it is renewed while the result waits
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
    cluster = place.start(shutdown_grace=0.2, retry=place.lease)
    task_id = async_task("chores.kind.hold", key, cluster=place.queue)
    ledger.wait(key, "began")
    reconnect()
    place.server.stop()
    let_go(key)
    try:
        cluster.wait_for(lambda: "cannot store results" in cluster.log)
        cluster.stop()
    finally:
        place.server.start()
    place.start(retry=place.lease)
    assert await_result(task_id, key).attempt_count == 2
    assert len(ledger.entries(key, "began")) == 2


@pytest.mark.fault("E20")
def test_a_database_that_hangs_holds_up_no_task_without_it(
    results_on_postgres, ledger, key
):
    """Every process of PostgreSQL stands still: it reads nothing and closes nothing."""
    place = results_on_postgres
    cluster = place.start(retry=place.lease)
    before = {cluster.dispatcher, *cluster.workers}
    task_id = async_task("chores.kind.hold", key, cluster=place.queue)
    ledger.wait(key, "began")
    reconnect()
    place.server.pause()
    try:
        let_go(key)  # its result has to wait
        cluster.wait_for(lambda: "its connection is cut" in cluster.log)
        broker = current.broker(place.queue)
        for n in range(20):
            async_task("chores.kind.echo", n, cluster=place.queue, save=False)
        cluster.wait_for(lambda: (broker.queue_size(), broker.lock_size()) == (0, 1))
    finally:
        place.server.resume()
    assert await_result(task_id, key).attempt_count == 1
    cluster.wait_idle()
    assert len(ledger.entries(key, "began")) == 1
    assert {cluster.dispatcher, *cluster.workers} == before


@pytest.mark.fault("E18")
def test_a_result_that_the_database_refuses_stops_no_other(on_postgres, ledger, key):
    """By a trigger, whose error does not tell; in this cluster and in the next one."""
    run(
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN"
        " IF NEW.value LIKE '%poison%' THEN RAISE EXCEPTION 'refused for good'; END IF;"
        " RETURN NEW; END $$ LANGUAGE plpgsql"
    )
    run(
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON qcore_task"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    try:
        cluster = on_postgres.start()
        echo = "chores.kind.echo"
        sent = [
            async_task(echo, "poison" if n == 20 else n, cluster=on_postgres.queue)
            for n in range(40)
        ]
        records = [fetch(task_id, wait=60_000) for task_id in sent]
        assert [record.success for record in records] == [n != 20 for n in range(40)]
        assert "refused for good" in records[20].result
        cluster.wait_idle()
        broker = current.broker(on_postgres.queue)
        assert (broker.queue_size(), broker.lock_size()) == (0, 0)
        cluster.wait_for(lambda: (s := cluster.snapshot) and s.problem is None)
    finally:
        run("DROP TRIGGER refuse ON qcore_task")
        run("DROP FUNCTION refuse")


@pytest.mark.fault("E5")
def test_a_session_that_was_ended_between_two_tasks_is_nobodys_affair(on_postgres):
    cluster = on_postgres.start(workers=1)
    for _ in range(2):
        task_id = async_task("chores.rude.count_schedules", cluster=on_postgres.queue)
        assert result(task_id, wait=60_000) is not None
        cluster.wait_idle()
        run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    task_id = async_task("chores.rude.count_schedules", cluster=on_postgres.queue)
    assert fetch(task_id, wait=60_000).success
    assert fetch(task_id).attempt_count == 1


@pytest.mark.fault("E6")
def test_a_session_that_ends_in_a_task_is_its_failure(on_postgres):
    """It is stored over another connection, and the worker's next task has a new one."""
    cluster = on_postgres.start(workers=1)
    before = cluster.workers
    task_id = async_task(
        "chores.rude.end_its_session", cluster=on_postgres.queue, max_attempts=1
    )
    record = fetch(task_id, wait=60_000)
    assert not record.success
    assert "OperationalError" in record.result or "AdminShutdown" in record.result
    again = async_task("chores.rude.count_schedules", cluster=on_postgres.queue)
    assert fetch(again, wait=60_000).success
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
    assert "Traceback" not in own_log(cluster.log)


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


# -- what it refuses -----------------------------------------------------------------------
@pytest.mark.fault("D1")
def test_a_cluster_waits_for_a_database_that_comes_later(on_postgres, ledger, key):
    """Queue and tables are in it: nothing can be told of them until then."""
    reconnect()
    on_postgres.server.kill()
    try:
        cluster = on_postgres.start(wait=False)
        cluster.wait_for(lambda: cluster.log.count("trying again in") >= 2)
        assert cluster.exit_code is None
    finally:
        on_postgres.server.start()
    async_task("chores.kind.record", key, cluster=on_postgres.queue)
    ledger.wait(key, "ran")
    cluster.wait_idle()
    assert "Traceback" not in own_log(cluster.log)


@pytest.mark.fault("D13")
def test_a_user_who_may_not_come_in_is_told_and_no_password(on_postgres):
    entry = on_postgres.django["DATABASES"]["default"]
    entry = entry | {"USER": "stranger", "PASSWORD": "canary-of-the-stranger"}
    cluster = on_postgres.start(wait=False, django={"DATABASES": {"default": entry}})
    cluster.wait_for(lambda: 'role "stranger" does not exist' in cluster.log)
    assert "canary" not in cluster.log
    assert "Traceback" not in own_log(cluster.log)


@pytest.mark.fault("E8")
def test_a_server_with_too_few_connections_is_told_and_waited_for(
    on_postgres, ledger, key
):
    """Three for a cluster that wants a dozen: what gets one works, the rest waits."""
    run("CREATE ROLE crowded LOGIN SUPERUSER")
    run("ALTER ROLE crowded NOSUPERUSER CONNECTION LIMIT 1")
    run("GRANT ALL ON ALL TABLES IN SCHEMA public TO crowded")
    run("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO crowded")
    entry = on_postgres.django["DATABASES"]["default"] | {"USER": "crowded"}
    cluster = on_postgres.start(django={"DATABASES": {"default": entry}})
    before = {cluster.dispatcher, *cluster.workers}
    cluster.wait_for(lambda: "too many connections" in cluster.log)
    task_id = async_task("chores.kind.record", key, cluster=on_postgres.queue)
    run("ALTER ROLE crowded CONNECTION LIMIT 50")
    ledger.wait(key, "ran")
    assert fetch(task_id, wait=60_000).success
    cluster.wait_idle()
    assert {cluster.dispatcher, *cluster.workers} == before
    assert "Traceback" not in own_log(cluster.log)


@pytest.mark.fault("E15")
def test_a_pool_of_connections_is_left_to_processes_that_have_threads(
    on_postgres, ledger, key
):
    """The sentinel has opened one; no fork of it gets it, and none opens another."""
    pytest.importorskip("psycopg_pool", reason="psycopg[pool] is not installed")
    entry = on_postgres.django["DATABASES"]["default"]
    entry = entry | {"OPTIONS": {"pool": {"min_size": 2}}}
    django = {
        "DATABASES": {"default": entry},
        "INSTALLED_APPS": [*settings.INSTALLED_APPS, "chores.early.Early"],
    }
    cluster = on_postgres.start(django=django)
    assert ledger.entries("early", f"connected {cluster.sentinel}")
    chore = "chores.rude.connect_everywhere"
    sent = [async_task(chore, key, cluster=on_postgres.queue) for _ in range(2)]
    ledger.wait(key, "began", 2)
    ports = [ports_of(pid) for pid in (cluster.dispatcher, *cluster.workers)]
    let_go(key)
    assert not ports_of(cluster.sentinel)
    assert all(ports)
    assert len(set.union(*ports)) == sum(map(len, ports))
    for task_id in sent:
        assert fetch(task_id, wait=60_000).success
    cluster.wait_idle()
    assert "Traceback" not in own_log(cluster.log)


# -- locks ---------------------------------------------------------------------------------
@pytest.mark.fault("E3")
def test_a_deadlock_in_a_task_is_its_failure_and_it_is_tried_again(
    on_postgres, ledger, key
):
    cluster = on_postgres.start(retry=on_postgres.lease)  # it is tried again after that
    rows = [
        Schedule.objects.create(name=f"{key} {n}", func="builtins.list", repeats=0).pk
        for n in range(2)
    ]
    sent = [
        async_task("chores.rude.lock_both", key, *order, cluster=on_postgres.queue)
        for order in (rows, rows[::-1])
    ]
    ledger.wait(key, "has both", 2)
    records = [await_result(task_id, None) for task_id in sent]
    assert sorted(record.attempt_count for record in records) == [1, 2]
    assert "deadlock detected" in cluster.log
    cluster.wait_idle()


@pytest.mark.fault("E4")
def test_an_acknowledgement_waits_for_a_row_that_somebody_has_locked(
    on_postgres, ledger, key
):
    """An administrator looks at the queue in a transaction and goes for a coffee."""
    cluster = on_postgres.start()
    task_id = async_task("chores.kind.hold", key, cluster=on_postgres.queue)
    ledger.wait(key, "began")
    with transaction.atomic():
        run("SELECT * FROM qcore_orm_ormq FOR UPDATE")
        let_go(key)
        ledger.wait(key, "ended")
        wait_for(lambda: run("SELECT 1 FROM pg_locks WHERE NOT granted"))
    await_result(task_id, key)
    cluster.wait_idle()
    assert len(ledger.entries(key, "began")) == 1


@pytest.mark.fault("E2")
def test_an_acknowledgement_that_was_lost_is_made_up_for(
    on_postgres, fault_proxy, ledger, key
):
    """The queue is in a database of its own, and the way to it is cut."""
    direct = on_postgres.django["DATABASES"]["default"]
    through = fault_proxy(on_postgres.server.port)
    both = {"default": direct, "queue": direct | {"PORT": through.port}}
    cluster = on_postgres.start(
        django={"DATABASES": both},
        orm="queue",
        workers=1,
    )
    task_id = async_task("chores.kind.hold", key, cluster=on_postgres.queue)
    ledger.wait(key, "began")
    through.fault("refuse")
    let_go(key)
    assert fetch(task_id, wait=60_000).success
    assert current.broker(on_postgres.queue).lock_size() == 1
    through.fault("pass")
    cluster.wait_idle()
    assert len(ledger.entries(key, "began")) == 1
