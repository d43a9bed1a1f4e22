"""What people ask of live clusters."""

from __future__ import annotations

import pytest
from chores.ledger import let_go

from qcore.envelope import Outcome
from qcore.models import Ticket
from qcore.runtime import current
from qcore.tasks import async_task, cancel, fetch, pause, result, resume

Q = "controlled"


def send(name, *args):
    return async_task(f"chores.kind.{name}", *args, cluster=Q)


def wait_for_state(cluster, state, but_not_of=None):
    """Return a snapshot of a cluster in a state.

    A cluster that has just started has none yet. The last one of a dispatcher that was
    killed is there for a while.
    """

    def seen():
        snapshot = cluster.snapshot
        if snapshot is None or snapshot.dispatcher_pid == but_not_of:
            return None
        return snapshot if snapshot.state == state else None

    return cluster.wait_for(seen)


@pytest.fixture(autouse=True)
def _resumed(database):
    yield
    resume(Q)
    current.broker(Q).purge_queue()


@pytest.mark.fault("P1")
@pytest.mark.fault("P2")
def test_a_paused_queue_rests_also_in_clusters_that_start_later(start, ledger, key):
    first = start(queue=Q)
    held = send("hold", key)
    ledger.wait(key, "began")
    pause(Q, by="ann", reason="a reason")
    wait_for_state(first, "paused")
    waits = send("record", f"{key} waits")
    let_go(key)
    assert result(held, wait=60_000) == key
    killed = first.kill_dispatcher()
    wait_for_state(first, "paused", but_not_of=killed)
    first.wait_complete()
    assert first.stop() == 0
    again = start(queue=Q)
    assert wait_for_state(again, "paused").pause.by == "ann"
    assert ledger.entries(f"{key} waits") == []
    assert current.broker(Q).queue_size() == 1
    resume(Q)
    ledger.wait(f"{key} waits", "ran")
    assert result(waits, wait=60_000) is None
    wait_for_state(again, "running")
    assert again.stop() == 0
    assert "Traceback" not in first.log + again.log


@pytest.mark.fault("P4")
@pytest.mark.fault("P5")
def test_cancelled_tasks_end_wherever_they_are(start, ledger, key):
    # the cleanup of what is cancelled has this long, and it is quick; a machine may not be
    cluster = start(queue=Q, grace=3)
    plain = send("slow_with_clean_up", key, 3600)
    coroutine = send("nap_async", f"{key} async", 3600)
    ledger.wait(key, "began")
    ledger.wait(f"{key} async", "began")
    waits = send("record", f"{key} waits")
    ids = [plain, coroutine, waits]
    assert cancel(ids).keys() == set(ids)
    for id in ids:
        ended = fetch(id, wait=60_000)
        assert (ended.success, ended.outcome) == (False, Outcome.CANCELLED)
    ledger.wait(key, "cleaned up")
    ledger.wait(f"{key} async", "cleaned up")
    # both workers were replaced, and work
    assert result(send("add", 1, 2), wait=60_000) == 3
    stubborn = async_task("chores.rude.block_signals", f"{key} rude", cluster=Q)
    ledger.wait(f"{key} rude", "began")
    assert cancel(stubborn).keys() == {stubborn}
    killed = fetch(stubborn, wait=60_000)
    assert (killed.outcome, killed.attempt_count) == (Outcome.CANCELLED, 1)
    assert ledger.entries(f"{key} waits") == []
    cluster.wait_for(lambda: not Ticket.objects.exists())
    assert cluster.stop() == 0
    broker = current.broker(Q)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)
