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
from qcore.testing.speed import TooLate, begun_again_when_late, slowness

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
        self._looked = at
        self._longest_pause = 0.0

    def look(self):
        now = time.time()
        self._longest_pause = max(self._longest_pause, now - self._looked)
        self._looked = now
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
    def lateness(self):
        """How many seconds a start was late, or a look at the cluster."""
        missing = [0.0] * (
            4 - len(self._seen)
        )  # what had not begun at all is late, too
        starts = [
            began - RETRY * n for n, began in enumerate(self.starts[:4] + missing)
        ]
        return max([abs(late) for late in starts] + [self._longest_pause])

    @property
    def starts(self):
        return [began for _, began in self._seen]

    @property
    def pids(self):
        return [pid for pid, _ in self._seen]


class Example:
    """On a machine that is a second late the numbers are others; then it begins again."""

    stretch = 1.0

    @begun_again_when_late
    def run(self, start, ledger, key):
        example = example_of("retry")
        assert not Conf.from_dict(example).renews
        queue, renewed = f"example {self.stretch:g}", f"renewing {self.stretch:g}"
        key = f"{key} {self.stretch:g}"
        cluster = start(queue=queue, **example)
        renewing = start(queue=renewed, **example, renew=True)
        at = time.time()
        task_id = async_task("time.sleep", TASK, cluster=queue)
        watch = Watch(cluster, task_id, at)
        once_id = async_task("time.sleep", TASK, cluster=renewed)
        once = Watch(renewing, once_id, at)

        def until(seconds):
            while time.time() < at + seconds:
                watch.look()
                once.look()
                time.sleep(0.1)

        until(16.4)
        running = set(watch.pids)
        another = async_task("chores.kind.record", key, cluster=queue)
        until(21)
        starts, claimed = len(watch.starts), current.broker(queue).lock_size()
        early = ledger.entries(key)
        until(24.5)
        stored = fetch(task_id)
        until(28)
        waiting = queue_size(current.broker(queue))
        if watch.lateness > 1 and slowness() > 1.5:
            for one in (cluster, renewing):
                one.stop()
            raise TooLate(f"a start was {watch.lateness:.3g} s late")

        assert len(running) == 4, "all four workers are running the call"
        assert starts == 4
        assert claimed == 2, "one retry, and the new task"
        assert early == [], "nobody is free for it"
        assert stored.success
        assert [round(began / RETRY) for began in watch.starts[:4]] == [0, 1, 2, 3]
        assert watch.starts[4] >= TASK, "it was in the run queue, and had to wait"
        assert watch.pids[4] == watch.pids[0]
        assert result(once_id, wait=60_000) is None
        assert fetch(once_id).success
        assert len(watch.starts) == 5, "it is acknowledged, and not presented again"
        assert waiting == 0
        assert fetch(another, wait=60_000).attempt_count > 1, (
            "it was put on the queue again"
        )
        assert len(ledger.entries(key)) == 1
        assert len(once.starts) == 1, "a lease that is renewed does not end"


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
    Example().run(start, ledger, key)
