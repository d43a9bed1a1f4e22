"""``Stat``: what running clusters say of themselves, with the attributes of django-q."""

from __future__ import annotations

import datetime as dt
import socket
from typing import Any

from django.utils import timezone

from qcore.status import Snapshot, snapshots

from .conf import Conf

#: The states of qcore in the words of django-q.
_STATES = {
    "starting": Conf.STARTING,
    "stopping": Conf.STOPPING,
    "stopped": Conf.STOPPED,
}


class Status:
    """A cluster of which nothing is known: it has stopped.

    Args:
        pid: of its main process.
        cluster_id: 32 hexadecimal digits, or a UUID.
    """

    def __init__(self, pid: int | None, cluster_id: Any) -> None:
        self.workers: list[int] = []
        self.tob: dt.datetime | None = None
        self.reincarnations = 0
        self.pid = pid
        self.cluster_id = cluster_id
        self.sentinel = 0
        self.status: Any = Conf.STOPPED
        self.done_q_size = 0
        self.host = socket.gethostname()
        self.monitor = 0
        self.task_q_size = 0
        self.pusher = 0
        self.timestamp = timezone.now()


class Stat(Status):
    """A cluster, as it was a moment ago.

    Args:
        snapshot: what qcore knows of it.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot.sentinel_pid, snapshot.cluster)
        self.tob = dt.datetime.fromtimestamp(snapshot.started, dt.UTC)
        self.timestamp = dt.datetime.fromtimestamp(snapshot.at, dt.UTC)
        self.reincarnations = snapshot.restarts
        self.sentinel = snapshot.sentinel_pid
        # the dispatcher does the work of both
        self.monitor = self.pusher = snapshot.dispatcher_pid
        self.host = snapshot.host
        self.workers = [worker.pid for worker in snapshot.workers]
        self.task_q_size = snapshot.waiting
        self.done_q_size = snapshot.recording
        is_busy = any(worker.task_id for worker in snapshot.workers)
        busy = Conf.WORKING if is_busy or not self.empty_queues() else Conf.IDLE
        self.status = _STATES.get(snapshot.state, busy)

    def uptime(self) -> float:
        """Return the seconds since its start."""
        assert self.tob is not None
        return (timezone.now() - self.tob).total_seconds()

    @property
    def key(self) -> str:
        """The name under which django-q would keep it."""
        return self.get_key(self.cluster_id)

    @staticmethod
    def get_key(cluster_id: Any) -> str:
        """Return the name under which django-q would keep a cluster."""
        return f"{Conf.Q_STAT}:{cluster_id}"

    def empty_queues(self) -> bool:
        """Return whether nothing waits in the cluster."""
        return self.done_q_size + self.task_q_size == 0

    @staticmethod
    def get(
        pid: Any = None,
        cluster_id: Any = None,
        broker: object = None,  # noqa: ARG004 - as in django-q
    ) -> Status:
        """Return what is known of one cluster.

        Args:
            pid: of its main process; the documentation of 1.3 gives the id here.
            cluster_id: 32 hexadecimal digits, or a UUID.
            broker: accepted.
        """
        if cluster_id is None:
            pid, cluster_id = None, pid
        wanted = str(cluster_id).replace("-", "")
        for snapshot in snapshots():
            if snapshot.cluster == wanted:
                return Stat(snapshot)
        return Status(pid=pid, cluster_id=cluster_id)

    @staticmethod
    def get_all(broker: object = None) -> list[Status]:  # noqa: ARG004 - as in django-q
        """Return all clusters of this project that run."""
        return [Stat(one) for one in snapshots() if one.state != "stopped"]
