"""What becomes of a delivery: attempts, leases, doubled ones.

Bad packages are in tests/faults/test_each_broker.py.
"""

from __future__ import annotations

import time

import pytest
from chores.ledger import let_go, wait_for

from qcore.envelope import Outcome, Result
from qcore.models import Quarantine
from qcore.runtime import current
from qcore.signing import Signer
from qcore.tasks import async_iter, async_task, fetch, result
from qcore.tasks.calls import build
from qcore.testing.speed import stretched

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def lease():
    """Seconds; it is not renewed, since a project that sets it wants it so.

    What waits longer than that for a busy machine is not begun, and counts as an attempt.
    Two of them end within the patience of those who wait.
    """
    return min(stretched(3.0), 6.0)


@pytest.fixture
def renewed():
    """Seconds of a lease that is renewed four times while it lasts."""
    return min(stretched(4.0), 12.0)


@pytest.fixture(scope="module")
def cluster(_start, lease):
    return _start(retry=lease, workers=4)


def test_a_failed_task_is_tried_again_after_its_lease(cluster, lease, ledger, key):
    task_id = async_task("chores.kind.fail_first", key)
    first, second = ledger.wait(key, "began", 2)
    # half: the first note may come late, and the lease began before it
    assert second.at - first.at > lease * 0.5
    record = wait_for(lambda: (r := fetch(task_id)) and r.success and r)
    assert (record.result, record.attempt_count) == ("the second time", 2)


def test_max_attempts_ends_it(cluster, ledger, key):
    task_id = async_task("chores.kind.fail_and_note", key, max_attempts=2)
    ledger.wait(key, "began", 2)
    cluster.wait_idle()
    assert len(ledger.entries(key)) == 2
    assert (fetch(task_id).success, fetch(task_id).attempt_count) == (False, 2)


def test_ack_failure_ends_it_at_once(cluster, ledger, key):
    async_task("chores.kind.fail_and_note", key, ack_failure=True)
    ledger.wait(key, "began")
    cluster.wait_idle()
    assert len(ledger.entries(key)) == 1


def test_the_hook_is_called_for_each_failed_attempt(cluster, ledger, key):
    async_task(
        "chores.kind.fail_first",
        key,
        hook="chores.kind.hook",
        group=key,
        task_name="n",
    )
    ledger.wait(key, "success n")
    ledger.wait(key, "failure n")
    events = [entry.event for entry in ledger.entries(key)]
    # the second attempt does not wait for the hook of the first one
    assert sorted(events) == ["began", "began", "failure n", "success n"]


def test_the_settings_ack_failures_and_their_exception(start, lease, ledger, key):
    cluster = start(queue="acks", ack_failures=True, retry=lease)
    async_task("chores.kind.fail_and_note", f"{key} done", cluster="acks")
    kept = f"{key} kept"
    async_task(
        "chores.kind.fail_and_note", kept, cluster="acks",
        ack_failure=False, max_attempts=3,
    )  # fmt: skip
    ledger.wait(kept, "began", 3)
    cluster.wait_idle()
    assert len(ledger.entries(f"{key} done")) == 1
    assert len(ledger.entries(kept)) == 3


@pytest.mark.fault("B6")
def test_a_renewed_lease_runs_it_once(start, renewed, ledger, key):
    """Nor does it need the worker, which may have no breath to spare."""
    cluster = start(queue="renewed", retry=renewed, renew=True, workers=4)
    task_id = async_task(
        "chores.kind.nap", key, 1.5 * renewed, cluster="renewed", timeout=120
    )
    breathless = async_task(
        "chores.rude.hold_interpreter", f"{key} breathless", cluster="renewed",
        timeout=1.3 * renewed, max_attempts=1,
    )  # fmt: skip
    assert result(task_id, wait=120_000) == key
    record = fetch(breathless, wait=120_000)
    assert (record.outcome, record.attempt_count) == ("timeout", 1)
    cluster.wait_idle()
    for own in (key, f"{key} breathless"):
        assert len(ledger.entries(own, "began")) == 1


def test_what_waits_for_a_worker_is_renewed_too(start, renewed, ledger, key):
    cluster = start(queue="waiting", retry=renewed, renew=True, workers=1)
    for _ in range(4):
        async_task("chores.kind.hold", key, cluster="waiting")
    (first,) = ledger.wait(key, "began")
    broker = current.broker("waiting")
    cluster.wait_for(lambda: broker.lock_size() > 1, what="more than one is claimed")
    over = first.at + 1.3 * renewed
    cluster.wait_for(lambda: time.monotonic() > over, what="a lease is over")
    let_go(key)
    ledger.wait(key, "ended", 4)
    cluster.wait_idle()
    assert len(ledger.entries(key, "began")) == 4


@pytest.mark.fault("J8")
def test_what_another_project_of_the_same_name_sent_is_kept_and_told(
    cluster, ledger, key
):
    """Both projects see it so: each has a key of its own, and one of them is this one."""
    other = Signer(["the secret of another project"], current.conf.name)
    package = other.sign(build("chores.kind.record", (key,)))
    current.broker().enqueue(package)
    kept = wait_for(lambda: Quarantine.objects.filter(package=package).first())
    told = "Projects that share a broker need different names."
    assert told in kept.detail
    cluster.wait_for(lambda: told in cluster.log)
    cluster.wait_idle()
    assert ledger.entries(key) == []
    assert other.verify(bytes(kept.package)).func == "chores.kind.record"


# -- packages that come again ---------------------------------------------------------
def redeliver(task):
    """Put a task into its queue as if its first acknowledgement had been lost."""
    broker = current.broker(task.queue)
    broker.enqueue(current.signer.sign(task), delay=0)
    (delivery,) = broker.dequeue(1)
    assert delivery.attempt == 1
    return broker, delivery


def store_success(task, value=b"7"):
    now = time.time()
    current.store(False).save(
        [
            Result(
                task=task, outcome=Outcome.SUCCESS, value=value, content="json",
                started=now, stopped=now, attempt=1,
            )
        ]
    )  # fmt: skip


@pytest.mark.fault("E2")
def test_a_stored_success_is_acknowledged_and_not_run(start, ledger, key):
    task = build(
        "chores.kind.record", (key,), cluster="again",
        hook="chores.kind.hook", group=key, task_name="n",
    )  # fmt: skip
    store_success(task)
    broker, delivery = redeliver(task)
    broker.release([delivery.receipt])
    cluster = start(queue="again")
    ledger.wait(key, "success n")  # the hook may not have been called: so it is
    cluster.wait_idle()
    assert ledger.entries(key, "ran") == []
    assert result(task.id) == 7


@pytest.mark.fault("E2")
def test_the_next_link_of_a_stored_success_is_sent_and_runs_once(start, ledger, key):
    links = [("chores.kind.record", [key, "second"], {})]
    task = build("chores.kind.record", (key, "first"), chain=links, cluster="links")
    store_success(task)
    for _ in range(2):
        broker, delivery = redeliver(task)
        broker.release([delivery.receipt])
        cluster = start(queue="links", workers=1)
        ledger.wait(key, "ran")
        cluster.wait_idle()
        cluster.stop()
    assert len(ledger.entries(key, "ran")) == 1, "the second link, once"


def test_an_iter_is_joined_though_its_cluster_died_before_that(start, key):
    """The last call is stored, and its cluster died before it joined the results."""
    group = async_iter("chores.kind.add", [(1, 1), (2, 2)], cluster="torn")
    broker = current.broker("torn")
    deliveries = broker.dequeue(2)
    for delivery in deliveries:
        task = current.signer.verify(delivery.package)
        store_success(task, b"2" if task.iter_index == 0 else b"4")
    broker.release([delivery.receipt for delivery in deliveries])
    start(queue="torn")
    assert result(group, wait=60_000) == [2, 4]
