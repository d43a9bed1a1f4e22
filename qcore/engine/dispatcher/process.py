"""Runs in: the dispatcher. Its process: the loop, and the threads beside it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from ..services import Services
from ..system.memory import give_back, share_one_arena
from ..system.process import set_title
from ..wire.channel import Channel, ChannelClosed
from .capacity import Capacity
from .controlling import Controlling
from .error_reports import ErrorReports
from .handover import Handover
from .holds import Holds
from .leases import Leases
from .loop import Loop
from .pusher import Pusher
from .ready import ReadyQueue
from .recorder import Recorder
from .relaying import Relaying
from .renewal import LeaseRenewal
from .scheduling import Scheduling
from .state import SharedState
from .status import ClusterStatus, StatusPublisher

logger = logging.getLogger("qcore.dispatcher")

#: Seconds that a thread may keep the interpreter from the loop. Python's 5 ms would
#: be added to the latency of every task while the recorder works on a batch.
_SWITCH = 0.0005
#: Threads on the way of every task, also of one that uses no database.
_ON_THE_WAY = ("pusher", "recorder", "control")
#: Seconds that recorder and pusher have to end once the last task has.
_LAST_WORDS = 3.0


class Dispatcher:
    """The process between broker and workers.

    Args:
        services: what the cluster is made of.
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
        self._shared = SharedState(restarts=restarts)
        self._ready = ReadyQueue()
        self._capacity = Capacity(self._conf.queue_limit)
        self._leases = Leases(self._shared, self._ready)
        self._recorder = Recorder(services, self._shared, self._ready)
        self._reports = ErrorReports(services.report, services.before_exit)
        self._loop = Loop(
            self._conf,
            control,
            self._ready,
            self._recorder,
            self._capacity,
            self._shared,
            self._leases,
            self._reports,
            run_once=run_once,
        )
        self._handover = Handover(self._shared, self._capacity, self._loop)
        cycle, news = self._conf.guard_cycle, self._shared.news
        status = ClusterStatus(
            services, self._shared, self._loop.pool, cluster=cluster, started=started
        )
        self._publisher = StatusPublisher(
            status.snapshot, services.publish, cycle, news, give_back
        )
        self._failed_thread: str | None = None

    def run(self) -> None:
        """Dispatch until told to stop, then end in order.

        Raises:
            SystemExit: with 1 if the end was not in order.
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
            self._services, self._capacity, self._shared, self._handover,
            self._reports.put,
        )  # fmt: skip
        renewal = LeaseRenewal(self._services, self._shared, self._leases)
        work: dict[str, Callable[[], None]] = {
            "recorder": self._recorder.run,
            "pusher": pusher.run,
            "renewal": renewal.run,
            "holds": Holds(self._services, self._shared, self._leases).run,
            "status": self._publisher.run,
            "reporter": self._reports.run,
            "relay": Relaying("relay", self._services.make_relay, self._shared).run,
            "control": Controlling(
                self._services, self._shared, self._capacity, self._ready.wake
            ).run,
        }
        for name in _ON_THE_WAY:
            work[name] = partial(self._let_cut, name, work[name])
        for plugin in self._services.sweepers:
            make = partial(self._services.make_sweep, plugin)
            sweep = Relaying("sweeps", make, self._shared, plugin)
            work[f"sweeps {plugin}"] = sweep.run
        work["hanging"] = partial(
            self._shared.steps.watch, self._shared.ended, self._conf.retry
        )
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

    def _let_cut(self, name: str, run: Callable[[], None]) -> None:
        """Run a thread whose connections are cut when a database does not answer."""
        if (cut := self._services.make_cut()) is not None:
            self._shared.steps.may_be_cut(name, cut)
        run()

    def _guarded(self, name: str, run: Callable[[], None]) -> None:
        """Run a thread. If it dies, the dispatcher dies, and the sentinel starts a new one."""
        try:
            run()
        except BaseException:
            logger.exception("the %s died, and the dispatcher with it", name)
            self._failed_thread = name
            self._ready.wake()

    def _finish(self, threads: dict[str, threading.Thread]) -> None:
        """Let the threads end in the order in which they depend on each other."""
        deadline = time.monotonic() + _LAST_WORDS
        self._capacity.close()
        self._reports.close()
        threads["pusher"].join(max(0.0, deadline - time.monotonic()))
        for job in self._ready.arrivals():
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
        """Kill every worker: the sentinel is gone, and no worker may outlive it."""
        logger.critical("the sentinel has gone; ending its workers")
        for worker in self._loop.pool:
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                logger.debug("worker %d has ended already", worker.pid)
        os._exit(1)
