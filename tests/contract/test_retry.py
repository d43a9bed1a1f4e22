"""retry: the documented example in its own numbers, as it stands.

It takes 28 seconds and says the same on every Python, so it runs on one of them
(``once``).
"""

from __future__ import annotations

import time

import pytest
from contract.document import example_of

from qcore.conf import Conf
from qcore.runtime import current
from qcore.tasks import async_task, fetch, queue_size, result

sentence = pytest.mark.sentence
RETRY, TASK = 5, 22


class Watch:
    """Sees in the status of a cluster when its workers begin a task.

    A start is told apart from others by its worker and by its second, which the
    status has as "busy for so long at that time".
    """

    def __init__(self, cluster, task_id, at):
        self._cluster, self._task_id, self._at = cluster, task_id, at
        self._seen: list[tuple[int, float]] = []  # pid, seconds after the call

    def look(self):
        snapshot = self._cluster.snapshot
        for worker in snapshot.workers if snapshot else ():
            if worker.task_id == self._task_id and worker.state == "busy":
                began = snapshot.at - worker.seconds - self._at
                known = (
                    pid == worker.pid and abs(b - began) < 2 for pid, b in self._seen
                )
                if not any(known):
                    self._seen.append((worker.pid, began))

    @property
    def starts(self):
        return [began for _, began in self._seen]

    @property
    def pids(self):
        return [pid for pid, _ in self._seen]


@pytest.mark.once
@sentence("retry", "(example 1)")
@sentence("retry", "For example, with the following code")
@sentence("retry", "First, ``time.sleep`` is called by the first worker.")
@sentence("retry", "After 5 seconds second worker will also call ``time.sleep``")
@sentence("retry", "After 21 seconds from the call to ``async_task`` all four workers")
@sentence("retry", "After 22 seconds the first worker completes")
@sentence("retry", "So in this example, ``time.sleep`` was called 5 times.")
@sentence("retry", "preventing new tasks from starting shortly after")
@sentence("retry", "the task that has not been started by any worker to be put on work")
def test_the_example_as_it_stands(start, ledger, key):
    example = example_of("retry")
    assert not Conf.from_dict(example).renews
    cluster = start(queue="example", **example)
    renewing = start(queue="renewing", **example, renew=True)
    at = time.time()
    task_id = async_task("time.sleep", TASK, cluster="example")
    watch = Watch(cluster, task_id, at)
    once_id = async_task("time.sleep", TASK, cluster="renewing")
    once = Watch(renewing, once_id, at)

    def until(seconds):
        while time.time() < at + seconds:
            watch.look()
            once.look()
            time.sleep(0.1)

    until(16.4)
    assert len(set(watch.pids)) == 4, "all four workers are running the call"
    another = async_task("chores.kind.record", key, cluster="example")
    until(21)
    assert len(watch.starts) == 4
    assert current.broker("example").lock_size() == 2, "one retry, and the new task"
    assert ledger.entries(key) == [], "nobody is free for it"
    until(24.5)
    assert fetch(task_id).success
    assert [round(began / RETRY) for began in watch.starts[:4]] == [0, 1, 2, 3]
    assert watch.starts[4] >= TASK, "it was in the run queue, and had to wait"
    assert watch.pids[4] == watch.pids[0]
    assert result(once_id, wait=60_000) is None
    assert fetch(once_id).success
    until(28)
    assert len(watch.starts) == 5, "it is acknowledged, and not presented again"
    assert queue_size(current.broker("example")) == 0
    assert fetch(another, wait=60_000).attempt_count > 1, (
        "it was put on the queue again"
    )
    assert len(ledger.entries(key)) == 1
    assert len(once.starts) == 1, "a lease that is renewed does not end"
