"""A Redis that is away, silent, torn, restarted empty; what callers and clusters do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from chores.cluster_log import own_log
from chores.ledger import let_go, wait_for
from django.test import override_settings
from faults.evidence import history_of, send_naps
from faults.judge import check_history
from faults.place import Place
from redis import Redis
from servers.base import free_port
from servers.redis import RedisServer

from qcore.errors import BrokerError, BrokerUnavailable
from qcore.runtime import current
from qcore.tasks import async_task, fetch, result

#: Minutes in all, and about servers and signals more than about Python.
pytestmark = pytest.mark.once


@pytest.mark.fault("D1")
def test_a_cluster_waits_for_a_broker_that_comes_later(on_redis, ledger, key):
    """It says so once for each try, ever less often, and works when it is there."""
    on_redis.server.kill()
    cluster = on_redis.start(wait=False)
    cluster.wait_for(lambda: (own := pauses(cluster)) and own[-1] >= 2 * own[0])
    assert pauses(cluster) == sorted(pauses(cluster))
    assert cluster.exit_code is None
    on_redis.server.start()
    task_id = async_task("chores.kind.record", key, cluster=on_redis.queue)
    ledger.wait(key, "ran")
    result(task_id, wait=60_000)
    cluster.wait_for(lambda: "working again" in cluster.log)
    assert "Traceback" not in own_log(cluster.log)


def pauses(cluster):
    """Return the seconds between the tries of the thread that claims, as it tells them."""
    told = re.findall(r"qcore\.pusher: .*; trying again in ([\d.]+) s\n", cluster.log)
    return [float(seconds) for seconds in told]


@pytest.mark.fault("D13")
@pytest.mark.parametrize("lacks", ["the password", "a command"])
def test_a_cluster_says_what_it_may_not_do_and_goes_on_when_it_may(
    on_redis, ledger, key, lacks
):
    """It tells the command that mends it, and no password; who mends it restarts nothing."""
    given = "canary-of-ann" if lacks == "the password" else "right"
    rights = ["~*", "+@all", *(["-xreadgroup"] if lacks == "a command" else [])]
    told = "refuses the password" if lacks == "the password" else "+xreadgroup"
    with Redis(port=on_redis.server.port) as admin:
        admin.execute_command("ACL", "SETUSER", "ann", "on", ">right", *rights)
        url = f"redis://ann:{given}@127.0.0.1:{on_redis.server.port}/0"
        cluster = on_redis.start(redis=url)
        cluster.wait_for(lambda: told in cluster.log)
        assert cluster.exit_code is None
        new = [f">{given}", "+@all"]
        admin.execute_command("ACL", "SETUSER", "ann", *new)
    async_task("chores.kind.record", key, cluster=on_redis.queue)
    ledger.wait(key, "ran")
    cluster.wait_idle()
    assert "canary" not in cluster.log
    assert "Traceback" not in own_log(cluster.log)


@pytest.mark.fault("D2")
def test_a_broker_that_dies_in_mid_flight_costs_nothing(on_redis, ledger, key):
    """What runs ends and is stored; what was claimed is acknowledged when it is back."""
    cluster = on_redis.start(retry=20)
    before = {cluster.dispatcher, *cluster.workers}
    sent = send_naps(on_redis.queue, key, count=12, seconds=0.3)
    ledger.wait(f"{key} 0", "began")
    on_redis.server.kill()
    wait_for(
        lambda: "cannot reach Redis" in cluster.log or "trying again" in cluster.log
    )
    ledger.wait(f"{key} 0", "ended")
    on_redis.server.start()
    for number, task_id in enumerate(sent):
        assert result(task_id, wait=60_000) == f"{key} {number}"
    cluster.wait_idle()
    assert {cluster.dispatcher, *cluster.workers} == before, "no process has died"
    check_history(history_of(sent, ledger, on_redis.queue))


@pytest.mark.fault("D5")
def test_a_server_that_says_nothing_is_noticed(on_redis, through, ledger, key):
    """Its host answers and it does not; afterwards the cluster works as before."""
    cluster = on_redis.start(redis={"port": through.port})
    task_id = async_task("chores.kind.record", f"{key} 1", cluster=on_redis.queue)
    ledger.wait(f"{key} 1", "ran")
    result(task_id, wait=60_000)
    before = {cluster.dispatcher, *cluster.workers}
    through.fault("black-hole")
    cluster.wait_for(lambda: "trying again in" in cluster.log)
    through.fault("pass")
    async_task("chores.kind.record", f"{key} 2", cluster=on_redis.queue)
    ledger.wait(f"{key} 2", "ran")
    cluster.wait_idle()
    assert {cluster.dispatcher, *cluster.workers} == before
    assert [len(ledger.entries(f"{key} {n}")) for n in (1, 2)] == [1, 1]


@pytest.mark.fault("D9")
def test_a_cluster_works_a_full_redis_off(on_redis, ledger, key):
    """No call gets a task in any more, and everything that is in comes out."""
    sent = send_naps(on_redis.queue, key, count=20, seconds=0)
    fails = async_task("chores.kind.fail_first", f"{key} fails", cluster=on_redis.queue)
    with Redis(port=on_redis.server.port) as admin:
        admin.config_set("maxmemory", "1")
        with pytest.raises(BrokerError, match="no memory left"):
            async_task("chores.kind.add", 1, cluster=on_redis.queue)
        cluster = on_redis.start(retry=on_redis.lease)  # after which it is tried again
        before = {cluster.dispatcher, *cluster.workers}
        for task_id in (*sent, fails):
            assert wait_for(lambda id=task_id: (r := fetch(id)) and r.success)
        cluster.wait_idle()
        assert {cluster.dispatcher, *cluster.workers} == before
        assert "Traceback" not in own_log(cluster.log)
        admin.config_set("maxmemory", "0")
    assert [len(ledger.entries(own, "began")) for own in sent.values()] == [1] * 20
    assert len(ledger.entries(f"{key} fails")) == 2, "the second attempt, too"


@pytest.mark.fault("D11")
def test_a_broker_that_comes_back_empty_is_used_anew(database, ledger, key):
    """What it held is lost, as documented; what comes then is run."""
    server = RedisServer()
    server.start()
    where = {"name": "faults", "redis": {"port": server.port}}
    try:
        with override_settings(Q_CLUSTER=where):
            place = Place(server, where)
            # renewed after the nap only, so that nobody learns before that it is lost
            cluster = place.start(retry=60)
            before = {cluster.dispatcher, *cluster.workers}
            async_task("chores.kind.nap", f"{key} held", 0.5, cluster=place.queue)
            ledger.wait(f"{key} held", "began")
            server.kill()
            server.start()
            task_id = async_task("chores.kind.record", key, cluster=place.queue)
            ledger.wait(key, "ran")
            result(task_id, wait=60_000)
            ledger.wait(f"{key} held", "ended")
            cluster.wait_idle()
            assert {cluster.dispatcher, *cluster.workers} == before
            assert "Traceback" not in own_log(cluster.log)
            place.close()
            current.close()
    finally:
        server.close()


@pytest.mark.fault("D12")
@pytest.mark.parametrize(
    "command", ["FLUSHALL", "SCRIPT FLUSH", "CLIENT KILL TYPE normal"]
)
def test_a_cluster_goes_on_after_what_an_administrator_does(
    on_redis, ledger, key, command
):
    cluster = on_redis.start()
    before = {cluster.dispatcher, *cluster.workers}
    with Redis(port=on_redis.server.port) as admin:
        admin.execute_command(command)
    task_id = wait_for(lambda: send(key, on_redis.queue))
    ledger.wait(key, "ran")
    result(task_id, wait=60_000)
    cluster.wait_idle()
    assert {cluster.dispatcher, *cluster.workers} == before
    assert processor_seconds(cluster.dispatcher) < 5, "it does not spin"


def send(key, queue):
    try:
        return async_task("chores.kind.record", key, cluster=queue)
    except BrokerUnavailable:  # its connection was the one that was killed
        return None


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.fault("E2")
def test_an_acknowledgement_that_was_lost_is_made_up_for(
    on_redis, through, ledger, key
):
    """The result is stored and the way to the broker is cut: nothing runs again."""
    cluster = on_redis.start(redis={"port": through.port}, workers=1)
    task_id = async_task("chores.kind.hold", key, cluster=on_redis.queue)
    ledger.wait(key, "began")
    through.fault("refuse")
    let_go(key)
    assert result(task_id, wait=60_000) == key
    assert current.broker(on_redis.queue).lock_size() == 1
    through.fault("pass")
    cluster.wait_idle()
    assert len(ledger.entries(key, "began")) == 1


@pytest.mark.fault("I1")
@pytest.mark.fault("I2")
def test_no_secret_is_in_a_log(on_redis, ledger, key):
    """Through a refusal, a wrong password and a failing task, at the level DEBUG."""
    password, argument = "canary-in-the-address", "canary-in-the-arguments"
    url = f"redis://shop:{password}@127.0.0.1:{free_port()}/0"
    gone = on_redis.start(wait=False, redis=url, log_level="DEBUG")
    gone.wait_for(lambda: "trying again in" in gone.log)
    wrong = f"redis://shop:{password}@127.0.0.1:{on_redis.server.port}/0"
    refused = on_redis.start(wait=False, redis=wrong, log_level="DEBUG")
    refused.wait_for(lambda: "trying again in" in refused.log)
    fine = on_redis.start(log_level="DEBUG")
    async_task("chores.kind.fail_and_note", key, cluster=on_redis.queue)
    async_task("chores.rude.leave", argument, 3, cluster=on_redis.queue, max_attempts=1)
    ledger.wait(argument, "began")
    fine.wait_for(lambda: "exit code 3" in fine.log)
    for cluster in (gone, refused, fine):
        cluster.stop()
        assert cluster.log
        assert password not in cluster.log
        assert argument not in cluster.log
