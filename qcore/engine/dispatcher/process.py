"""Runs in: the dispatcher. Its process: the loop, and the threads beside it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from ...envelope import Attempt
from ...status import Snapshot
from ..services import Services
from ..system.memory import give_back, share_one_arena
from ..system.process import set_title
from ..wire.channel import Channel, ChannelClosed
from .capacity import Capacity
from .error_reports import ErrorReports
from .inbox import Inbox
from .job import Job
from .leases import Leases
from .loop import Loop
from .pusher import Pusher
from .recorder import Recorder
from .renewal import LeaseRenewal
from .scheduling import Scheduling
from .state import SharedState
from .status import StatusPublisher

logger = logging.getLogger("qcore.dispatcher")

#: Seconds that a thread may keep the interpreter from the loop. Python's 5 ms would
#: be added to the latency of every task while the recorder works on a batch.
_SWITCH = 0.0005
#: Seconds that recorder and pusher have to end once the last task has.
_LAST_WORDS = 3.0


class Dispatcher:
    """The process between broker and workers.

    Args:
        parts: what the cluster is made of.
        control: to the sentinel.
        cluster: the cluster's id.
        started: when it was started, seconds since the epoch.
        restarts: how many processes the sentinel has replaced so far.
        run_once: stop when the queue is empty.
    """

    def __init__(
        self,
        services: Services,
        control: Channel,
        *,
        cluster: str,
        started: float,
        restarts: int = 0,
        run_once: bool = False,
    ) -> None:
        self._services = services
        self._conf = services.conf
        self._cluster = cluster
        self._started = started
        self._shared = SharedState()
        self._inbox = Inbox()
        self._capacity = Capacity(self._conf.queue_limit)
        self._leases = Leases(self._shared)
        self._recorder = Recorder(
            services, self._shared, self._inbox.put, relieved=self._inbox.wake
        )
        self._reports = ErrorReports(services.report, services.before_exit)
        self._loop = Loop(
            services,
            control,
            self._inbox,
            self._recorder,
            self._capacity,
            self._shared,
            self._leases,
            self._reports.put,
            restarts=restarts,
            run_once=run_once,
        )
        cycle, news = self._conf.guard_cycle, self._shared.news
        self._publisher = StatusPublisher(
            self.snapshot, services.publish, cycle, news, give_back
        )
        self._failed_thread: str | None = None

    def run(self) -> None:
        """Dispatch until told to stop, then end in order.

        Raises:
            SystemExit: with 1 where the order could not be kept.
        """
        sys.setswitchinterval(_SWITCH)
        share_one_arena()
        set_title(f"qcore[{self._conf.name}] dispatcher")
        self._services.notify(
            "qcore_process_started", role="dispatcher", conf=self._conf
        )
        threads = self._start_threads()
        try:
            while not self._loop.is_done():
                self._loop.round()
                if self._failed_thread:
                    raise SystemExit(1)
        except ChannelClosed:
            self._end_everything()
        self._finish(threads)

    # -- threads -----------------------------------------------------------------------
    def _start_threads(self) -> dict[str, threading.Thread]:
        pusher = Pusher(
            self._services, self._capacity, self._shared, self._give, self._give_finished,
            self._reports.put,
        )  # fmt: skip
        work: dict[str, Callable[[], None]] = {
            "recorder": self._recorder.run,
            "pusher": pusher.run,
            "renewal": LeaseRenewal(self._services, self._shared, self._alarm).run,
            "status": self._publisher.run,
            "reporter": self._reports.run,
        }
        if self._conf.scheduler:
            work["scheduler"] = Scheduling(self._services, self._shared).run
        threads = {}
        for name, run in work.items():
            thread = threading.Thread(
                target=self._guarded, args=(name, run), name=name, daemon=True
            )
            thread.start()
            threads[name] = thread
        return threads

    def _alarm(self) -> None:
        """Have the loop see at once that a lease was lost."""
        self._leases.alarm()
        self._inbox.wake()

    def _guarded(self, name: str, run: Callable[[], None]) -> None:
        """Run a thread; if it dies, so does the dispatcher, and the sentinel starts anew."""
        try:
            run()
        except BaseException:
            logger.exception("the %s died, and the dispatcher with it", name)
            self._failed_thread = name
            self._inbox.wake()

    def _finish(self, threads: dict[str, threading.Thread]) -> None:
        """Let the threads end in the order in which they depend on each other."""
        deadline = time.monotonic() + _LAST_WORDS
        self._capacity.close()
        self._reports.close()
        threads["pusher"].join(max(0.0, deadline - time.monotonic()))
        for job in self._inbox.take():
            self._recorder.give_back(job)
        self._recorder.close()
        threads["recorder"].join(max(0.1, deadline - time.monotonic()))
        self._shared.ended.set()
        self._publisher.close()
        threads["status"].join(1.0)
        threads["reporter"].join(max(0.1, deadline - time.monotonic()))
        self._reports.tell_left()
        self._services.notify(
            "qcore_process_stopping", role="dispatcher", conf=self._conf
        )
        if threads["recorder"].is_alive() or self._failed_thread:
            raise SystemExit(1)

    def _end_everything(self) -> None:
        """The sentinel is gone: no worker may outlive it, and nobody else will see to that."""
        logger.critical("the sentinel has gone; ending its workers")
        for worker in self._loop.pool:
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                logger.debug("worker %d has ended already", worker.pid)
        os._exit(1)

    def _give(self, jobs: Sequence[Job]) -> None:
        """Take claimed jobs to the loop, and to idle workers at once."""
        self._inbox.add(jobs)
        self._loop.assign_now()
        self._inbox.wake()

    def _give_finished(self, job: Job, end: Attempt) -> None:
        """Take a job that an earlier attempt has finished: only its end is left."""
        job.ended = end
        if job.task.follows_up:
            self._inbox.put(job)
        else:
            self._recorder.finish(job)

    # -- status --------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """Return what the cluster is doing; called by the herald."""
        shared = self._shared
        problems = "; ".join(shared.problems.values())
        state = "stopping" if shared.stopping.is_set() else "running"
        if shared.ended.is_set():
            state = "stopped"
        elif problems and state == "running":
            state = "paused"
        return Snapshot(
            cluster=self._cluster,
            name=self._conf.name,
            queue=self._conf.queue,
            host=socket.gethostname(),
            version=self._services.version,
            broker=self._services.broker_info(),
            state=state,
            sentinel_pid=os.getppid(),
            dispatcher_pid=os.getpid(),
            started=self._started,
            at=time.time(),
            workers=self._loop.pool.statuses(),
            waiting=self._loop.waiting(),
            recording=self._recorder.waiting(),
            succeeded=shared.succeeded,
            failed=shared.failed,
            crashed=shared.crashed,
            quarantined=shared.quarantined,
            restarts=self._loop.restarts,
            problem=problems or None,
        )
