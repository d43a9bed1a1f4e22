"""Clusters with more than one queue, beside one another, recycled, bound, watched."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chores.ledger import let_go, wait_for
from django.test import override_settings

from qcore import status
from qcore.conf import cpu_count
from qcore.engine.system.process import processors_of
from qcore.processes import processes
from qcore.runtime import current
from qcore.tasks import (
    async_iter,
    async_task,
    fetch_group,
    queue_size,
    result,
    result_group,
    schedule,
)
from qcore.testing.speed import in_time

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cluster(_start):
    return _start()


def test_a_task_for_another_queue_waits_for_its_cluster(cluster, start, ledger, key):
    task_id = async_task("chores.kind.record", key, cluster="heavy")
    assert result(async_task("chores.kind.echo", 1), wait=60_000) == 1
    assert ledger.entries(key) == []
    assert queue_size(current.broker("heavy")) == 1
    start(queue="heavy")
    ledger.wait(key, "ran")
    assert result(task_id, wait=60_000) is None


@pytest.mark.fault("F1")
def test_two_clusters_share_one_queue(start, ledger, key):
    """Each task, and each slot of a schedule, runs once."""
    schedule("chores.kind.record", f"{key} slot", cluster="shared")
    both = [start(queue="shared", queue_limit=1) for _ in range(2)]
    # no task ends before three workers have one: a cluster has two
    ids = [
        async_task("chores.kind.join", key, f"{key} {n}", 3, cluster="shared")
        for n in range(40)
    ]
    assert [result(id, wait=60_000) for id in ids] == [f"{key} {n}" for n in range(40)]
    ledger.wait(f"{key} slot", "ran")
    for cluster in both:
        cluster.wait_idle()
    runs = [ledger.entries(f"{key} {n}", "began") for n in range(40)]
    assert {len(entries) for entries in runs} == {1}
    assert len(ledger.entries(f"{key} slot")) == 1
    workers = {entries[0].pid for entries in runs}
    for cluster in both:
        assert workers & set(cluster.workers), "each had a part of the work"


def test_a_schedule_fires_within_a_second_or_so(cluster, ledger, key):
    schedule("chores.kind.record", key)
    ledger.wait(key, "ran")


def test_the_status_shows_what_runs(cluster, ledger, key):
    cluster.wait_idle()
    sent = time.monotonic()
    task_id = async_task("chores.kind.hold", key, task_name=key[:40])
    (began,) = ledger.wait(key, "began")

    def shown(snapshot):
        workers = snapshot.workers if snapshot else []
        return next((w for w in workers if w.task_id == task_id and w.seconds), None)

    worker = cluster.wait_for(lambda: shown(cluster.snapshot))
    assert (worker.state, worker.func) == ("busy", "chores.kind.hold")
    assert (worker.pid, worker.task_name) == (began.pid, key[:40])
    assert 0 < worker.seconds <= time.monotonic() - sent
    snapshot = cluster.wait_for(lambda: cluster.snapshot)
    assert snapshot.state == "running"
    assert snapshot.sentinel_pid == cluster.sentinel
    assert snapshot.dispatcher_pid == cluster.dispatcher
    done = snapshot.succeeded
    let_go(key)
    cluster.wait_for(lambda: (s := cluster.snapshot) and s.succeeded > done)


@pytest.mark.fault("I4")
def test_no_argument_is_in_the_list_of_processes(cluster, ledger):
    task_id = async_task("chores.kind.hold", "canary", task_name="canary's name")
    (began,) = ledger.wait("canary", "began")
    own = (cluster.sentinel, cluster.dispatcher, *cluster.workers)
    shown = {pid: title(pid) for pid in own}
    let_go("canary")
    assert not [line for line in shown.values() if "canary" in line]
    pytest.importorskip("setproctitle")
    where = f"qcore[{cluster.conf.name}]"
    assert shown[began.pid].startswith(f"{where} worker ")
    assert shown[began.pid].endswith(f": chores.kind.hold {task_id}")
    assert {f"{where} sentinel", f"{where} dispatcher"} < set(shown.values())


def title(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().strip("\0").replace("\0", " ")


def test_a_stopped_cluster_leaves_the_status(start):
    own = start(queue="short")
    own.wait_for(lambda: (s := own.snapshot) and s.state == "running")
    own.stop()
    assert all(
        s.sentinel_pid != own.sentinel or s.state == "stopped"
        for s in status.snapshots()
    )


def descriptors(cluster):
    return len(list(Path(f"/proc/{cluster.dispatcher}/fd").iterdir()))


@pytest.mark.fault("A13")
def test_workers_that_are_recycled_after_each_task_lose_nothing(start, ledger, key):
    cluster = start(queue="recycled", recycle=1)
    for _ in range(2):  # by then every thread of the dispatcher has its connection
        warm = async_iter("chores.kind.echo", list(range(10)), cluster="recycled")
        assert result(warm, wait=60_000) == list(range(10))
    cluster.wait_idle()
    cluster.wait_complete()
    before = descriptors(cluster)
    group = async_iter(
        "chores.kind.record", [(key, n) for n in range(200)], cluster="recycled"
    )
    assert result(group, wait=60_000) == list(range(200))
    entries = ledger.entries(key)
    assert len(entries) == len({entry.pid for entry in entries}) == 200
    gaps = [b.at - a.at for a, b in itertools.pairwise(entries)]
    assert in_time(max(gaps), 5)
    # a worker needs three; a thread may have opened its own connection meanwhile
    wait_for(
        lambda: cluster.is_complete() and descriptors(cluster) < before + 20,
        what="return to the number of descriptors before",
    )
    assert cluster.stop() == 0


@pytest.mark.fault("A13")
def test_a_worker_over_max_rss_is_replaced(start, key):
    cluster = start(queue="rss", max_rss=150_000, workers=1)
    group = async_iter("chores.rude.grow", [1, 200, 1], cluster="rss")
    small, large, after = result(group, wait=60_000)
    assert small == large != after
    assert "retires" in cluster.log


@pytest.mark.fault("K3")
def test_tasks_that_leak_are_moved_to_new_workers_and_none_is_lost(start, ledger, key):
    cluster = start(queue="leaky", max_rss=150_000, workers=1)
    group = async_iter("chores.rude.grow", [40] * 12, cluster="leaky")
    pids = result(group, wait=60_000)
    assert len(pids) == 12
    assert 3 <= len(set(pids)) < 12, "some tasks to a worker, and more than one of them"
    assert cluster.log.count("retires") >= 2


@pytest.mark.fault("K4")
def test_a_queue_that_fails_slowly_does_not_hold_up_another(start, ledger, key):
    """What is sent last to the fast queue ends while the slow one still has its first."""
    start(queue="slow", retry=30)
    start(queue="fast")
    for number in range(20):
        async_task("chores.kind.fail_slowly", f"{key} {number}", 25.0, cluster="slow")
    ledger.wait(f"{key} 0", "began")
    ids = [async_task("chores.kind.echo", n, cluster="fast") for n in range(20)]
    assert [result(id, wait=60_000) for id in ids] == list(range(20))
    assert queue_size(current.broker("slow")) > 0
    current.broker("slow").purge_queue()


@pytest.mark.skipif(cpu_count() < 2, reason="one processor cannot be divided")
def test_each_worker_is_bound_to_its_processors(start, ledger, key):
    processors = sorted(os.sched_getaffinity(0))
    start(queue="bound", cpu_affinity=1, workers=2)
    group = async_iter("chores.kind.processors", [(key, 2)] * 4, cluster="bound")
    bound = {pid: own for pid, *own in result(group, wait=60_000)}
    wanted = [processors_of(index, 1, processors) for index in range(2)]
    assert sorted(bound.values()) == sorted(wanted)


def test_cached_results(start, tmp_path, key):
    caches = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(tmp_path),
        }
    }
    with override_settings(CACHES=caches):
        current.reset()
        cluster = start(queue="cached", django={"CACHES": caches})
        task_id = async_task("chores.kind.add", 2, 3, cached=True, cluster="cached")
        assert result(task_id, wait=60_000, cached=True) == 5
        assert result(task_id) is None, "it is not in the database"
        for number in range(3):
            async_task(
                "chores.kind.echo", number, cached=60, group=key, cluster="cached"
            )
        assert sorted(result_group(key, wait=60_000, count=3, cached=True)) == [0, 1, 2]
        joined = async_iter("chores.kind.echo", [1, 2], cached=True, cluster="cached")
        assert result(joined, wait=60_000, cached=True) == [1, 2]
        # such a cache is shared, so the status goes through it as well
        assert status.route() == "cache"
        assert cluster.wait_for(lambda: cluster.snapshot).queue == "cached"
    current.reset()
    assert fetch_group(key) == []


OUTLIVED = """
import sys
import time
from pathlib import Path

import django

django.setup()
from qcore.testing import LiveCluster
from qcore.testing.database import connected, entry

path = Path(sys.argv[1])
with connected(path):
    cluster = LiveCluster(workers=1, django={"DATABASES": {"default": entry(path)}})
    cluster.start()
    print(cluster.sentinel, cluster._folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.live
def test_a_cluster_ends_with_the_test_run_that_is_killed(database, ledger):
    tests = Path(__file__).parents[1]
    run = subprocess.Popen(
        [sys.executable, "-c", OUTLIVED, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tests)},
    )
    with run:
        words = run.stdout.readline().split()
        run.kill()
    sentinel, folder = int(words[0]), Path(words[1])

    def is_gone() -> bool:
        mine = [p for p in processes() if p.session == sentinel and p.lives]
        return not mine and not folder.exists()

    wait_for(is_gone, 20, "end of the cluster")
