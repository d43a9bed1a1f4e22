"""An SQLite file that is locked, full or read-only, and many who write to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest
from chores.cluster_log import own_log
from chores.ledger import let_go, wait_for
from django.db import connections, transaction
from django.test import override_settings
from faults.evidence import history_of, send_naps
from faults.judge import check_history
from faults.place import Place

from qcore.errors import BrokerError, BrokerUnavailable
from qcore.runtime import current
from qcore.tasks import async_task, fetch, result
from qcore.testing.database import connected, entry

#: About files and locks more than about Python.
pytestmark = pytest.mark.once


@pytest.fixture
def place(database):
    made = Place(None, {"name": "faults", "orm": "default"}, kind="sqlite")
    with override_settings(Q_CLUSTER=made.settings):
        yield made
        made.close()
        current.close()


@pytest.mark.fault("E1")
def test_a_result_waits_for_a_file_that_is_locked(database, redis_server, ledger, key):
    """The queue is in Redis; the results are in a file that somebody does not let go."""
    impatient = entry(database)
    impatient["OPTIONS"]["timeout"] = 0.1
    where = {"name": "faults", "redis": {"port": redis_server.port}}
    place = Place(redis_server, where, {"DATABASES": {"default": impatient}})
    with override_settings(Q_CLUSTER=where):
        cluster = place.start(retry=place.lease)
        try:
            task_id = async_task("chores.kind.hold", key, cluster=place.queue)
            ledger.wait(key, "began")
            other = sqlite3.connect(database)
            other.execute("BEGIN EXCLUSIVE")
            let_go(key)
            cluster.wait_for(lambda: "cannot store results" in cluster.log)
            # longer than a lease: it is renewed while the result waits
            (ended,) = ledger.wait(key, "ended")
            cluster.wait_for(lambda: has_been(ended, cluster.conf.retry * 1.2))
            assert current.broker(place.queue).lock_size() == 1
            other.close()
            record = wait_for(lambda: fetch(task_id))
            assert (record.success, record.attempt_count) == (True, 1)
            cluster.wait_idle()
            assert len(ledger.entries(key, "began")) == 1
        finally:
            place.close()
            current.close()


def has_been(entry, seconds):
    return time.monotonic() - entry.at > seconds


@pytest.mark.fault("E9")
def test_a_file_that_takes_no_writes_is_told_and_waited_for(place):
    broker = current.broker(place.queue)
    connection = connections["default"]
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    with pytest.raises(BrokerUnavailable, match="readonly"):
        broker.enqueue(b"x")
    # the connection was let go, and the setting with it
    assert broker.enqueue(b"x")
    broker.purge_queue()


@pytest.fixture
def file_on_a_small_disk(tmp_path, _migrated):
    """A database with every table, on a disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this user may not mount a disk: {done.stderr.strip()}")
    path = disk / "full.sqlite3"
    shutil.copy(_migrated, path)
    yield path
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.fault("E10")
def test_a_disk_that_is_full_is_told_and_waited_for(
    file_on_a_small_disk, django_db_blocker, ledger, key
):
    """A call raises; the cluster goes on when there is room, and the file is sound."""
    path = file_on_a_small_disk
    where = {"name": "faults", "orm": "default"}
    place = Place(None, where, {"DATABASES": {"default": entry(path)}})
    ballast = path.with_name("ballast")
    with (
        django_db_blocker.unblock(),
        connected(path),
        override_settings(Q_CLUSTER=where),
    ):
        cluster = place.start()
        try:
            task_id = async_task("chores.kind.hold", key, cluster=place.queue)
            ledger.wait(key, "began")
            fill(ballast)
            let_go(key)
            with pytest.raises(BrokerError, match="disk is full"):
                for _ in range(200):  # there may be free pages in the file
                    async_task("chores.kind.echo", "x" * 20_000, cluster="full")
            cluster.wait_for(lambda: "disk is full" in cluster.log)
            ballast.unlink()
            assert result(task_id, wait=60_000) == key
            again = async_task("chores.kind.record", key, 1, cluster=place.queue)
            assert result(again, wait=60_000) == 1
            cluster.wait_idle()
            assert cluster.stop() == 0
            assert "Traceback" not in own_log(cluster.log)
            with sqlite3.connect(path) as own:
                assert own.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            own.close()
        finally:
            place.close()
            current.close()


def fill(path):
    """Write until nothing more goes onto the disk."""
    with path.open("wb", buffering=0) as ballast:
        for size in (65536, 512):
            try:
                while ballast.write(os.urandom(size)):
                    pass
            except OSError:
                continue


@pytest.mark.fault("E11")
@pytest.mark.fault("F2")
def test_four_clusters_and_those_who_send_are_never_told_of_a_lock(place, ledger, key):
    """They start at the same moment; three others write as fast as they can."""
    for _ in range(4):
        place.start(workers=1, wait=False)
    sent, errors = {}, []
    ours = connections["default"]

    def send(number):
        connections["default"] = ours.copy()
        try:
            sent.update(send_naps(place.queue, f"{key} {number}", count=20, seconds=0))
            with transaction.atomic():
                many = send_naps(place.queue, f"{key} {number}+", count=5, seconds=0)
            sent.update(many)
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)
        finally:
            current.close()
            connections["default"].close()

    threads = [threading.Thread(target=send, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(sent) == 75
    for cluster in place.started:
        cluster.wait_complete()
    for task_id in sent:
        assert fetch(task_id, wait=60_000).success
    for cluster in place.started:
        cluster.wait_idle()
        assert "locked" not in cluster.log
    check_history(history_of(sent, ledger, place.queue))
