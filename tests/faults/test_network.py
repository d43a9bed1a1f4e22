"""Redis and PostgreSQL, and hosts that lose sight of them: by the network, or asleep."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from chores.cluster_log import own_log
from chores.ledger import let_go, wait_for
from django.db import connections
from django.test import override_settings
from faults.namespaces import island
from faults.place import Place

from qcore.cluster.connections import bounded
from qcore.errors import BrokerUnavailable
from qcore.runtime import current
from qcore.tasks import async_task, fetch, result
from qcore.testing.cluster import LiveCluster
from qcore.testing.proxy import FaultProxy
from qcore.testing.speed import in_time, stretched

pytestmark = [
    pytest.mark.once,
    # a file has no network
    pytest.mark.parametrize("each", ["redis", "postgres"], indirect=True),
]

#: A second way to the database of the place.
BEHIND = "behind"


@dataclass
class Line:
    """A place, and a proxy on the way to its broker."""

    place: Place
    proxy: FaultProxy
    aliases: list[str] = field(default_factory=list)

    def start(self, **options) -> LiveCluster:
        """Start a cluster behind the proxy."""
        if self.place.kind == "redis":
            return self.place.start(redis={"port": self.proxy.port}, **options)
        django = {"DATABASES": {"default": self.entry(self.proxy.port)}}
        return self.place.start(django=django, **options)

    def settings(self, host="127.0.0.1", port=None, **options):
        """Return Q_CLUSTER for this process, with the broker behind the proxy."""
        port = port or self.proxy.port
        if self.place.kind == "redis":
            where = {"redis": {"host": host, "port": port}}
        else:
            entry = self.entry(port) | {"HOST": host}
            entry["OPTIONS"] = bounded({}, options.get("retry", self.place.lease))
            complete = connections.configure_settings({"default": {}, BEHIND: entry})
            connections.settings[BEHIND] = complete[BEHIND]
            self.aliases.append(BEHIND)
            where = {"orm": BEHIND}
        return {"name": "faults"} | where | options

    def entry(self, port):
        return self.place.django["DATABASES"]["default"] | {"PORT": port}

    def close(self):
        self.place.close()
        current.close()
        for alias in set(self.aliases):
            connections[alias].close()
            del connections[alias]
            del connections.settings[alias]


@pytest.fixture
def line(each: Place, fault_proxy: Callable[[int], FaultProxy]) -> Iterator[Line]:
    """A queue of this test's own on the server of ``each``, and a way to it."""
    place = Place(each.server, each.settings, each.django, each.kind)
    made = Line(place, fault_proxy(each.server.port))
    yield made
    made.close()


@pytest.mark.fault("D3")
def test_a_call_does_not_wait_for_a_broker_that_is_away(each, line):
    """Whether it is gone or silent, a web request goes on within two seconds.

    How long a silent database may keep a request is said in DATABASES, for all that
    the request asks of it.
    """
    queue = line.place.queue
    with override_settings(Q_CLUSTER=line.settings()):
        async_task("chores.kind.add", 1, cluster=queue)
        for mode in ("black-hole", "refuse") if each.kind == "redis" else ("refuse",):
            line.proxy.fault(mode)
            at = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                async_task("chores.kind.add", 1, cluster=queue)
            assert in_time(time.monotonic() - at, 2.5)
        line.proxy.fault("pass")
        async_task("chores.kind.add", 1, cluster=queue)
        current.broker(queue).purge_queue()


@pytest.mark.fault("D5")
def test_a_host_that_has_vanished_is_noticed_and_found_again(each, line):
    """No end of a connection is told. Once it asks the server anything, a claim raises in
    half a lease, here in two seconds; and it finds what was sent when the cable is back.
    """
    sender = current.broker(line.place.queue)

    def claim():
        try:
            return current.broker(line.place.queue).dequeue(1, 0.1)
        except BrokerUnavailable:
            return "unavailable"

    with island() as there:
        proxy = FaultProxy(each.server.port, there.host)
        settings = line.settings(there.host, proxy.port, retry=4)
        with override_settings(Q_CLUSTER=settings):
            wait_for(lambda: there.run(claim).result(stretched(20)) == [])
            there.cut()
            sender.enqueue(b"package")
            at = time.monotonic()
            wait_for(lambda: there.run(claim).result(stretched(20)) == "unavailable")
            # two until it asks, two to notice, and a busy machine; the kernel takes 900
            assert in_time(time.monotonic() - at, 15)
            there.mend()
            (found,) = wait_for(
                lambda: _claimed(there.run(claim).result(stretched(20)))
            )
            assert found.package == b"package"
            there.run(lambda: _leave(line)).result(stretched(20))
        proxy.close()
    sender.purge_queue()
    sender.close()


def _claimed(answer):
    return None if answer == "unavailable" else answer


def _leave(line):
    current.close()
    if line.aliases:
        connections[BEHIND].close()


@pytest.mark.fault("D4")
def test_a_slow_network_is_borne(each, line, ledger, key):
    cluster = line.start()
    before = {cluster.dispatcher, *cluster.workers}
    line.proxy.fault("delay", 0.1)
    for number in range(3):
        async_task("chores.kind.record", f"{key} {number}", cluster=line.place.queue)
    for number in range(3):
        ledger.wait(f"{key} {number}", "ran")
    line.proxy.fault("pass")
    cluster.wait_idle()
    assert {cluster.dispatcher, *cluster.workers} == before
    assert [len(ledger.entries(f"{key} {n}")) for n in range(3)] == [1, 1, 1]


@pytest.mark.fault("D6")
def test_a_cluster_that_is_cut_off_stops_what_it_runs(each, line, ledger, key):
    lease = line.place.lease
    cut_off = line.start(workers=1, retry=lease)
    task_id = async_task(
        "chores.kind.slow_with_clean_up", key, lease * 2.5, cluster=line.place.queue
    )
    (began,) = ledger.wait(key, "began")
    line.proxy.fault("black-hole")
    at = time.monotonic()
    line.place.start(workers=1, retry=lease)
    (cleaned,) = ledger.wait(key, "cleaned up")
    assert cleaned.pid == began.pid
    assert in_time(cleaned.at - at, lease * 2), "at the end of the lease, unasked"
    ledger.wait(key, "began", 2)
    line.proxy.fault("pass")
    assert fetch(task_id, wait=60_000).attempt_count == 2
    cut_off.wait_for(lambda: "its end is not recorded" in cut_off.log)
    wait_for(lambda: len(ledger.entries(key, "cleaned up")) == 2)
    # the first one works again
    again = async_task("chores.kind.add", 1, 1, cluster=line.place.queue)
    assert result(again, wait=60_000) == 2


@pytest.mark.fault("D7")
def test_no_claim_is_lost_wherever_its_reply_is_cut(each, line):
    """What was claimed and never heard of is delivered again after its lease."""
    lost_once = 0
    with override_settings(Q_CLUSTER=line.settings(retry=0.05)):
        broker = current.broker(line.place.queue)
        broker.dequeue(1)
        for size in range(1, 300, 13):
            sent = f"package {size}".encode()
            broker.enqueue(sent)
            line.proxy.fault("cut", size)
            try:
                found = broker.dequeue(1)
            except BrokerUnavailable:
                found = []
                lost_once += 1
            line.proxy.fault("pass")
            found = found or wait_for(lambda: heal(broker))
            assert [delivery.package for delivery in found] == [sent]
            broker.acknowledge(found[0].receipt)
        broker.close()
    assert lost_once > 10, "the cuts were within the call"


def heal(broker):
    try:
        return broker.dequeue(1, 0.1)
    except BrokerUnavailable:
        return []


@pytest.mark.fault("F12")
def test_a_host_that_sleeps_wakes_up_without_harm(each, line, ledger, key):
    """Every process stands still for longer than a lease, as under a closed lid."""
    first = line.place.start(workers=1, retry=line.place.lease)
    task_id = async_task("chores.kind.hold", key, cluster=line.place.queue)
    ledger.wait(key, "began")
    sleeping = [process.pid for process in first.survivors()]
    dispatcher = first.dispatcher
    for pid in sleeping:
        os.kill(pid, signal.SIGSTOP)
    line.place.start(workers=1, retry=line.place.lease)
    ledger.wait(key, "began", 2)
    for pid in sleeping:
        os.kill(pid, signal.SIGCONT)
    let_go(key)
    first.wait_for(lambda: "its end is not recorded" in first.log)
    assert result(task_id, wait=60_000) == key
    assert fetch(task_id).attempt_count == 2
    first.wait_complete()
    assert first.dispatcher == dispatcher
    assert "Traceback" not in own_log(first.log)
