"""The contract of a broker under a real cluster, whose parts and service are killed.

``BrokerContract`` asks the broker alone; this asks whether qcore loses anything on it::

    class TestCluster(ClusterContract):
        lease = 2  # seconds, as short as your service allows

        @pytest.fixture
        def q_cluster(self, server):
            return {"sqs": server.options}

        @pytest.fixture
        def restart_service(self, server):  # called with kill=True
            return server.restart  # or a context manager: see LiveCase

It needs pytest-django, and ``qcore`` in the INSTALLED_APPS of the settings that
DJANGO_SETTINGS_MODULE names. Results are kept in an SQLite file of each test.
Attributes of the class that may be set are those of `LiveCase`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from ....runtime import current
from ....tasks import async_task, fetch, result
from ...ledger import Ledger
from ...speed import TooLate, begun_again_when_late, slowness, stretched
from .case import NAP, Start
from .waiting import WaitingTasks

_SLEEP_ONCE = "qcore.testing.contracts.clusters.tasks.sleep_once"
#: Seconds of a sleep from which only the end of its worker wakes.
_FOR_EVER = 600.0
#: A machine that is slower than this may lose a lease that a calm one keeps.
_BUSY = 1.5


class ClusterContract(WaitingTasks):
    """Nothing is lost, whoever dies, and what waits comes in its time."""

    def test_tasks_run_and_leave_nothing(
        self, start_cluster: Start, ledger: Ledger
    ) -> None:
        """Each task runs, its result is stored, and the queue is empty after it."""
        # no lease may end here: on a busy machine a task would run again, as it should
        cluster = start_cluster(retry=self.long_term)
        ids = self.send(range(50))
        wait = int(stretched(self.patience) * 1000)
        assert [result(id, wait=wait) for id in ids] == [*range(50)]
        self.assert_ended(cluster, ledger, ids)
        self.wait_empty(cluster)

    @begun_again_when_late
    def test_a_task_longer_than_its_lease_runs_once(
        self, start_cluster: Start, ledger: Ledger, project: object
    ) -> None:
        """With ``renew`` the lease of a running task is renewed until it ends.

        A cluster that has a task does not start it again. So there is another one,
        which would.
        """
        self.require("extend")
        # it is renewed four times in each lease
        lease = self.stretch * stretched(self.lease)
        clusters = [start_cluster(renew=True, retry=lease) for _ in range(2)]
        key = f"long {self.stretch:g}"
        task_id = async_task(NAP, key, self.outlast * lease, "value")
        record = self.wait_success(clusters[0], task_id)
        runs = len(ledger.entries(key, "began"))
        if (runs, record.attempt_count) != (1, 1) and slowness() > _BUSY:
            for cluster in clusters:
                cluster.stop()
            raise TooLate(f"a lease of {lease:.3g} s was renewed too late")
        assert (runs, record.attempt_count, record.result) == (1, 1, "value")
        self.wait_empty(clusters[0])

    def test_a_killed_worker_loses_nothing(
        self, start_cluster: Start, ledger: Ledger, project: object
    ) -> None:
        """Its task runs again: at once where the broker can release a claim."""
        released = self.has("release")
        lease = self.long_term if released else stretched(self.lease)
        cluster = start_cluster(retry=lease)
        nap = async_task(_SLEEP_ONCE, "nap", _FOR_EVER)
        others = self.send(range(12))
        killed = time.monotonic()
        cluster.kill_worker(ledger.wait("nap", "began")[0].pid)
        record = self.wait_success(cluster, nap)
        assert record.attempt_count == 2
        _, second = ledger.entries("nap", "began")
        if released:
            assert second.at - killed < self.long_term / 2, "it came with its lease"
        assert len(ledger.entries("nap", "ended")) == 1
        self.assert_ended(cluster, ledger, others)
        self.wait_empty(cluster)

    def test_a_killed_dispatcher_loses_nothing(
        self, start_cluster: Start, ledger: Ledger
    ) -> None:
        """Nobody gives its deliveries back; they come again when their lease is over."""
        # what a busy machine does not begin in its lease counts as an attempt, too
        cluster = start_cluster(retry=stretched(self.lease))
        nap = async_task(_SLEEP_ONCE, "nap", _FOR_EVER)
        ledger.wait("nap", "began")
        others = self.send(range(6))
        cluster.kill_dispatcher()
        record = self.wait_success(cluster, nap)
        # a delivery whose lease ends before a worker is free counts, and begins nothing
        assert record.attempt_count >= 2
        assert 2 <= len(ledger.entries("nap", "began")) <= record.attempt_count
        assert 1 <= len(ledger.entries("nap", "ended")) < record.attempt_count
        self.assert_ended(cluster, ledger, others)
        self.wait_empty(cluster)

    def test_a_killed_service_loses_nothing(
        self,
        start_cluster: Start,
        ledger: Ledger,
        restart: Callable[[bool], None],
        project: object,
    ) -> None:
        """What waits, runs or is done when the service dies ends with its result."""
        self.require("durable")
        cluster = start_cluster(retry=stretched(self.lease))
        ids = self.send(range(5))
        nap = async_task(NAP, "nap", 0.5, "value")
        ledger.wait("nap", "began")
        ids += self.send(range(5, 25), seconds=0.1)  # more than it claims ahead
        restart(True)
        for number in range(25, 30):
            send = partial(async_task, NAP, str(number), 0, number)
            ids.append(self.insist(cluster, send))
        self.assert_ended(cluster, ledger, ids)
        record = self.wait_success(cluster, nap)
        assert record.result == "value"
        assert len(ledger.entries("nap", "ended")) <= record.attempt_count
        self.wait_empty(cluster)

    def test_a_stopped_cluster_gives_back_what_waits(
        self, start_cluster: Start, ledger: Ledger, project: object
    ) -> None:
        """What has begun ends, and the next cluster runs the rest at once."""
        self.require("release")
        cluster = start_cluster(retry=self.long_term)
        ids = self.send(range(12), seconds=stretched(0.4))
        cluster.wait_for(lambda: self._count(ledger, ids, "began") >= 2)
        assert cluster.stop() == 0
        began, ended = (self._count(ledger, ids, what) for what in ("began", "ended"))
        assert began == ended < len(ids)
        assert cluster.survivors() == []
        assert "Traceback" not in cluster.log
        if self.has("counts"):
            broker, left = current.broker(), len(ids) - ended
            cluster.wait_for(
                lambda: broker.sizes() in ((left, 0), (left, None)),
                what=f"{left} wait and none is claimed",
            )
        second = start_cluster(retry=self.long_term)
        self.assert_ended(second, ledger, ids)
        assert self._count(ledger, ids, "ended") == len(ids), "one of them ran twice"
        self.wait_empty(second)

    def test_a_stopped_cluster_gives_back_what_runs(
        self, start_cluster: Start, ledger: Ledger, project: object
    ) -> None:
        """A task that does not end in ``shutdown_grace`` runs in the next cluster."""
        self.require("release")
        cluster = start_cluster(retry=self.long_term, shutdown_grace=0.3)
        task_id = async_task(_SLEEP_ONCE, "sleep", _FOR_EVER)
        ledger.wait("sleep", "began")
        assert cluster.stop() == 0
        assert fetch(task_id) is None, "that is no outcome"
        assert cluster.survivors() == []
        second = start_cluster(retry=self.long_term)
        # a claim that was under way as the cluster stopped may have come in between
        assert self.wait_success(second, task_id).attempt_count >= 2
        assert len(ledger.entries("sleep", "began")) == 2
        assert len(ledger.entries("sleep", "ended")) == 1
        self.wait_empty(second)

    def _count(self, ledger: Ledger, ids: list[str], event: str) -> int:
        return sum(len(ledger.entries(str(n), event)) for n in range(len(ids)))
