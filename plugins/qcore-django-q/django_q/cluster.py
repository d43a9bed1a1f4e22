"""``Cluster``: a cluster of qcore in a child of this process, and the inline parts.

The child is a fork, as in django-q: it works with the databases that this process has,
those of a test among them.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import uuid
from types import FrameType
from typing import Any

from django.db import connections

from qcore.cluster.run import run
from qcore.errors import QcoreError
from qcore.runtime import current
from qcore.status import Snapshot, snapshots

from .brokers import Broker
from .conf import Conf, logger
from .humanhash import humanize
from .monitor import monitor
from .pusher import pusher
from .scheduler import scheduler
from .status import Stat, Status
from .worker import worker

__all__ = [
    "Cluster",
    "Sentinel",
    "Stat",
    "Status",
    "monitor",
    "pusher",
    "scheduler",
    "worker",
]

#: Seconds that a cluster has to come up, and to stop, before that is an error.
PATIENCE = 60.0


class Child:
    """The main process of a cluster, seen by the process that has started it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exitcode: int | None = None

    def is_alive(self) -> bool:
        """Return whether it runs."""
        if self.exitcode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.exitcode = os.waitstatus_to_exitcode(status)
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, for ``timeout`` seconds at most."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.is_alive() and (until is None or time.monotonic() < until):
            time.sleep(0.01)

    def terminate(self) -> None:
        """Tell it to stop in order."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; its children end with it."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)


class Cluster:
    """A cluster that this process starts and stops.

    Args:
        broker: its ``list_key`` is the queue that the cluster works on; None means the
            project's own.
    """

    def __init__(self, broker: Broker | None = None) -> None:
        self.broker = broker
        self.sentinel: Child | None = None
        self.stop_event: Any = None
        self.start_event: Any = None
        self.pid = os.getpid()
        self.cluster_id = uuid.uuid4()
        self.host = socket.gethostname()
        self.timeout = None
        self._stopping = False

    def start(self) -> int:
        """Start it, and return the id of this process once the cluster is up.

        Raises:
            QcoreError: it has ended, or has not come up in a minute.
        """
        known = {one.cluster for one in snapshots()}
        connections.close_all()
        current.close()
        pid = os.fork()
        if pid == 0:
            self._run()
        self.sentinel = Child(pid)
        self._stopping = False
        logger.info("Q Cluster %s starting.", self.name)
        snapshot = self._wait_until_up(known)
        self.cluster_id = uuid.UUID(hex=snapshot.cluster)
        return self.pid

    def _run(self) -> None:
        """Be the cluster; this process ends here."""
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            if self.broker is not None and self.broker.list_key != Conf.CLUSTER_NAME:
                os.environ["Q_CLUSTER_NAME"] = self.broker.list_key
                current.reset()
            code = run()
        except BaseException:  # noqa: BLE001 - nothing of the parent may run here
            logger.exception("the cluster has failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _wait_until_up(self, known: set[str]) -> Snapshot:
        assert self.sentinel is not None
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if not self.sentinel.is_alive():
                raise QcoreError(
                    f"the cluster has ended with exit code {self.sentinel.exitcode}; its"
                    " log says why."
                )
            for one in snapshots():
                is_ours = one.sentinel_pid == self.sentinel.pid
                if is_ours and one.cluster not in known and one.state == "running":
                    return one
            time.sleep(0.02)
        self.sentinel.kill()
        raise QcoreError(
            f"the cluster was not up after {PATIENCE:g} s. Does its status reach this"
            " process? See `manage.py check --deploy`."
        )

    def stop(self) -> bool:
        """Stop it in order; return whether it ran."""
        if self.sentinel is None or not self.sentinel.is_alive():
            return False
        logger.info("Q Cluster %s stopping.", self.name)
        self._stopping = True
        self.sentinel.terminate()
        self.sentinel.join()
        logger.info("Q Cluster %s has stopped.", self.name)
        return True

    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        """Stop it, as a handler of signals."""
        self.stop()

    @property
    def stat(self) -> Status:
        """What it says of itself."""
        if self.sentinel is None:
            return Status(pid=self.pid, cluster_id=self.cluster_id)
        return Stat.get(pid=self.pid, cluster_id=self.cluster_id)

    @property
    def name(self) -> str:
        """Its name, of four words."""
        return humanize(self.cluster_id.hex)

    @property
    def is_starting(self) -> bool:
        """Whether it was started and is not up; ``start`` returns when it is."""
        return False

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self.sentinel is not None and self.sentinel.is_alive()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop and still runs."""
        return self._stopping and self.is_running

    @property
    def has_stopped(self) -> bool:
        """Whether it has run, and does not any more."""
        return self.sentinel is not None and not self.sentinel.is_alive()


class Sentinel:
    """The main process of a cluster, run in this one until it is told to stop.

    Args:
        stop_event: where this is set already, only the start is done.
        start_event: is set once the cluster is about to run.
        cluster_id: accepted; a cluster of qcore chooses its own.
        broker: its ``list_key`` is the queue that the cluster works on.
        timeout: accepted; the settings say it.
        start: run at once.
    """

    def __init__(
        self,
        stop_event: Any,
        start_event: Any,
        cluster_id: Any = None,
        broker: Broker | None = None,
        timeout: Any = None,
        start: bool = True,
    ) -> None:
        self.pid = os.getpid()
        self.parent_pid = os.getppid()
        self.cluster_id = cluster_id
        self.broker = broker
        self.stop_event = stop_event
        self.start_event = start_event
        self.reincarnations = 0
        if start:
            self.start()

    def start(self) -> None:
        """Run until it is told to stop."""
        current.broker().ping()
        self.start_event.set()
        if not self.stop_event.is_set():
            run()

    def status(self) -> Any:
        """Return its state."""
        return Conf.STOPPED if self.stop_event.is_set() else Conf.IDLE
