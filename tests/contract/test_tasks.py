"""timeout, ack_failures, max_attempts, retry, compress, sync; and a task's own say.

The cluster of this module has other values than the defaults, so that a setting that
were read and ignored would be seen; the options of a task say otherwise once more.
"""

from __future__ import annotations

import os
import time
from fractions import Fraction

import pytest
from django.db import transaction
from django.test import override_settings

from qcore.brokers.memory import MemoryBroker
from qcore.errors import EnqueueError
from qcore.models import Failure, Success
from qcore.runtime import current
from qcore.tasks import async_task, fetch, queue_size, result
from qcore.testing.speed import stretched

sentence = pytest.mark.sentence
option = pytest.mark.option

#: Seconds; long against a busy machine, short enough to be waited for: every task of
#: this module has to end in this time, but those that are to be ended.
TIMEOUT = 1.5


@pytest.fixture(scope="module")
def lease():
    """Seconds, in which a busy machine begins and records a task.

    Two of them end within the patience of those who wait.
    """
    return min(stretched(3.0), 6.0)


@pytest.fixture(scope="module")
def cluster(_start, lease):
    return _start(timeout=TIMEOUT, max_attempts=1, retry=lease, renew=True, grace=0.3)


# -- timeout -----------------------------------------------------------------------------
@sentence(
    "timeout",
    "The number of seconds a worker is allowed to spend on a task before it's"
    " terminated.",
)
def test_a_task_is_ended_after_the_timeout(cluster, key):
    record = fetch(async_task("chores.kind.nap", key, 30), wait=60_000)
    assert record.outcome == "timeout"
    assert TIMEOUT <= record.time_taken() < TIMEOUT + 10


@option("timeout")
@sentence("timeout", "Can be overridden for individual tasks.")
@pytest.mark.parametrize(
    ("own", "seconds", "outcome"),
    [(None, 2.0, "success"), (60, 2.0, "success"), (0.1, 0.3, "timeout")],
    ids=["without", "longer", "shorter"],
)
def test_a_task_has_a_timeout_of_its_own(cluster, key, own, seconds, outcome):
    task_id = async_task("chores.kind.nap", key, seconds, timeout=own)
    assert fetch(task_id, wait=60_000).outcome == outcome


@sentence("timeout", "Defaults to ``None``, meaning it will never time out.")
def test_without_a_setting_there_is_no_timeout(start, settings, key):
    given = {k: v for k, v in settings.Q_CLUSTER.items() if k != "timeout"}
    with override_settings(Q_CLUSTER=given):
        assert current.conf.timeout is None
        start(queue="endless")
        task_id = async_task("chores.kind.nap", key, TIMEOUT + 0.5, cluster="endless")
        assert result(task_id, wait=60_000) == key


# -- attempts ----------------------------------------------------------------------------
@sentence("max_attempts", "Limit the number of retry attempts for failed tasks.")
def test_attempts_are_limited(cluster, ledger, key):
    task_id = async_task("chores.kind.fail_and_note", key)
    cluster.wait_idle()
    assert len(ledger.entries(key)) == 1
    assert fetch(task_id).attempt_count == 1


@option("max_attempts")
def test_a_task_has_a_limit_of_its_own(cluster, ledger, key):
    task_id = async_task("chores.kind.fail_and_note", key, max_attempts=3)
    ledger.wait(key, "began", 3)
    cluster.wait_idle()
    assert len(ledger.entries(key)) == 3
    assert fetch(task_id).attempt_count == 3


@sentence("max_attempts", "Set to 0 for infinite retries.")
def test_zero_sets_no_limit(start, ledger, key):
    start(queue="again", max_attempts=0, retry=0.1)
    async_task("chores.kind.fail_and_note", key, cluster="again")
    ledger.wait(key, "began", 8)
    current.broker("again").purge_queue()


@sentence("ack_failures", "When set to ``True``, also acknowledge unsuccessful tasks.")
@sentence(
    "ack_failures",
    "This causes failed tasks to be considered as successful deliveries, thereby"
    " removing them from the task queue.",
)
@option("ack_failure")
def test_failures_are_acknowledged_and_kept_where_the_task_says_so(
    start, lease, ledger, key
):
    cluster = start(queue="acks", ack_failures=True, retry=lease, max_attempts=0)
    async_task("chores.kind.fail_and_note", f"{key} away", cluster="acks")
    again = {"ack_failure": False, "max_attempts": 3, "cluster": "acks"}
    async_task("chores.kind.fail_and_note", f"{key} again", **again)
    ledger.wait(f"{key} again", "began", 3)
    cluster.wait_idle()
    assert len(ledger.entries(f"{key} away")) == 1
    assert len(ledger.entries(f"{key} again")) == 3


@sentence(
    "ack_failures",
    "Can also be set per-task by passing the ``ack_failure`` option to"
    " :func:`async_task`.",
)
@sentence("ack_failures", "Defaults to ``False``.")
def test_failures_stay_unless_the_task_says_otherwise(start, lease, ledger, key):
    cluster = start(queue="stay", retry=lease, max_attempts=2)
    async_task("chores.kind.fail_and_note", f"{key} stays", cluster="stay")
    gone = {"ack_failure": True, "cluster": "stay"}
    async_task("chores.kind.fail_and_note", f"{key} goes", **gone)
    ledger.wait(f"{key} stays", "began", 2)
    cluster.wait_idle()
    assert len(ledger.entries(f"{key} goes")) == 1
    assert len(ledger.entries(f"{key} stays")) == 2


# -- compress ----------------------------------------------------------------------------
@sentence("compress", "Compresses task packages to the broker.")
@sentence("compress", "Useful for large payloads")
def test_packages_are_compressed(cluster, settings):
    text = "large " * 10_000
    sizes = []
    for compress in (False, True):
        with override_settings(Q_CLUSTER=settings.Q_CLUSTER | {"compress": compress}):
            async_task("chores.kind.echo", text, cluster="weighed")
            (delivery,) = current.broker("weighed").dequeue(1)
            sizes.append(len(delivery.package))
            current.broker("weighed").acknowledge(delivery.receipt)
            task_id = async_task("chores.kind.echo", text)
        assert result(task_id, wait=60_000) == text, "a cluster reads both"
    plain, compressed = sizes
    assert plain > len(text) > 20 * compressed


# -- sync --------------------------------------------------------------------------------
@sentence("sync", "forces all :func:`async_task` calls to be run with ``sync=True``")
@sentence("sync", "Effectively making everything synchronous.")
@sentence("sync", "Useful for testing.")
def test_everything_is_synchronous(cluster, settings, ledger, key):
    with override_settings(Q_CLUSTER=settings.Q_CLUSTER | {"sync": True}):
        task_id = async_task(
            "chores.kind.nap", key, 0, hook="chores.kind.hook", group=key, task_name="n"
        )
        assert result(task_id) == key
        assert queue_size() == 0
    events = [(entry.event, entry.pid) for entry in ledger.entries(key)]
    here = os.getpid()
    assert events == [("began", here), ("ended", here), ("success n", here)]


@sentence("sync", "forces all :func:`async_task` calls to be run with ``sync=True``")
def test_not_even_a_call_that_says_otherwise_is_sent(cluster, settings):
    with override_settings(Q_CLUSTER=settings.Q_CLUSTER | {"sync": True}):
        assert result(async_task("os.getpid", sync=False)) == os.getpid()


@option("sync")
@sentence("sync", "Defaults to ``False``.")
def test_one_task_is_synchronous(cluster):
    assert result(async_task("os.getpid", sync=True)) == os.getpid()
    assert result(async_task("os.getpid"), wait=60_000) in cluster.workers


# -- what else a task may say ---------------------------------------------------------------
@option("group")
@option("hook")
@option("task_name")
def test_group_hook_and_name(cluster, ledger, key):
    own = {"group": key, "hook": "chores.kind.hook", "task_name": "of its own"}
    task_id = async_task("chores.kind.add", 1, 2, **own)
    (entry,) = ledger.wait(key, "success of its own")
    assert entry.pid in cluster.workers
    record = fetch("of its own")
    assert (record.id, record.group, record.result) == (task_id, key, 3)


@option("save")
def test_a_success_that_is_not_saved(cluster):
    unsaved = async_task("chores.kind.echo", 1, save=False)
    failure = async_task("chores.kind.fail", save=False)
    cluster.wait_idle()
    assert not Success.objects.filter(id=unsaved).exists()
    assert Failure.objects.filter(id=failure).exists(), "failures are always saved"


@option("cluster")
@option("broker")
def test_where_a_task_is_sent(cluster, start):
    start(queue="elsewhere", workers=1)
    by_name = async_task("os.getppid", cluster="elsewhere")
    by_broker = async_task("os.getppid", broker=current.broker("elsewhere"))
    at_home = async_task("os.getppid")
    parents = [result(one, wait=60_000) for one in (by_name, by_broker, at_home)]
    assert parents[0] == parents[1] != parents[2] == cluster.sentinel


@option("broker")
def test_a_broker_and_a_cluster_that_differ_are_refused(cluster):
    with pytest.raises(EnqueueError, match="sends to 'elsewhere'"):
        async_task("os.getppid", broker=current.broker("elsewhere"), cluster="tests")


@option("broker")
@option("commit")
def test_a_broker_of_ones_own_is_kept_until_the_commit(cluster):
    outside = MemoryBroker(current.conf, "outside")
    with transaction.atomic():
        at_once = async_task("chores.kind.add", 1, broker=outside, commit="now")
        assert outside.queue_size() == 1
        async_task("chores.kind.add", 1, broker=outside)
        assert outside.queue_size() == 1
    first, _ = outside.dequeue(2)
    assert current.signer.verify(first.package, "outside").id == at_once


@option("delay")
def test_a_task_that_is_not_due_yet(cluster, ledger, key):
    at = time.monotonic()
    delay = stretched(2.0)
    async_task("chores.kind.record", f"{key} later", delay=delay)
    async_task("chores.kind.record", f"{key} now")
    (now,) = ledger.wait(f"{key} now", "ran")
    (later,) = ledger.wait(f"{key} later", "ran")
    assert later.at - at > 0.95 * delay
    assert now.at < later.at


# -- serializer ------------------------------------------------------------------------------
@sentence("serializer", "How arguments and results are written.")
@sentence("serializer", "'pickle' takes any object")
def test_pickle_carries_what_json_refuses(start, settings):
    third = Fraction(1, 3)
    with pytest.raises(EnqueueError, match="Fraction"):
        async_task("chores.kind.echo", third)
    with override_settings(Q_CLUSTER=settings.Q_CLUSTER | {"serializer": "pickle"}):
        start(queue="pickled", workers=1)
        task_id = async_task("chores.kind.echo", third, cluster="pickled")
        assert result(task_id, wait=60_000) == third
