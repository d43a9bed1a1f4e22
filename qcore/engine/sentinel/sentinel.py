"""Runs in: the main process. Forks, reaps and kills; it does nothing else.

The sentinel has one thread and no queue, no database and no user code, so little can hang
or fail. The dispatcher decides; the sentinel acts on processes, because only the process
that reaps a child knows that the pid still belongs to the child.
"""

from __future__ import annotations

import logging
import math
import select
import signal
import socket
import time
from collections.abc import Sequence
from types import FrameType

from ..dispatcher.process import Dispatcher
from ..services import Services
from ..system import stacks
from ..system.memory import settle, unsettle
from ..system.process import LONGEST_WAIT, how_it_died, set_title
from ..system.service_manager import ServiceManager
from ..wire.channel import Channel, ChannelClosed
from ..wire.messages import (
    Control,
    Drained,
    Kill,
    Ready,
    ReplaceWorkers,
    Stop,
    WorkerExited,
    WorkerStarted,
    pack_control,
    unpack_control,
)
from ..wire.prefetch import make_pair
from ..worker.process import Worker
from .children import EXIT_FAILURE, EXIT_OK, HANDLED, STACKS, Child, Children
from .restarts import RestartDelay
from .starts import Starts

logger = logging.getLogger("qcore.sentinel")

#: Seconds that a stop may take beyond its grace before everything is killed.
STOP_MARGIN = 5.0
#: Seconds between two rounds in which nothing happens, unless the project sets
#: ``guard_cycle``. A death and a signal begin a round by themselves.
_REST = 5.0
#: Seconds that a process has to write its stacks before the next one is asked; they
#: come in many small writes, which would be mixed up in the log.
_STACKS_PAUSE = 0.02
#: Seconds until a service manager that reads nothing is told once more.
_MANAGER_PAUSE = 0.2
#: Seconds until a fork is tried again that the system has refused, doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


class Sentinel:
    """The main process of one cluster.

    Args:
        services: what the cluster is made of.
        cluster: its id.
        run_once: end when the queue is empty.
    """

    def __init__(
        self, services: Services, cluster: str, *, run_once: bool = False
    ) -> None:
        self._services = services
        self._cluster = cluster
        self._run_once = run_once
        self._children = Children(services)
        self._starts = Starts(self._children)
        self._control: Channel | None = None
        self._due: dict[int, float] = {}  # place -> when to fork for it, monotonic
        self._backoff = {
            place: RestartDelay() for place in range(services.conf.workers + 1)
        }
        self._fork_pause = _FIRST_PAUSE
        self._stopping_until: float | None = None
        self._signals: list[int] = []
        self._exit = EXIT_OK
        self._is_ready = False  # and has said so
        self._told_ready: list[int] | None = None  # pids, in the last status
        told, cycle = services.conf.explicit, services.conf.guard_cycle
        self._rest = cycle if "guard_cycle" in told else max(cycle, _REST)
        self._manager = ServiceManager()
        if self._manager.cycle is not None:
            self._rest = min(self._rest, self._manager.cycle)
        self._started = time.time()
        self._restarts = 0

    def run(self) -> int:
        """Run the cluster until it is told to stop; return the exit code."""
        wake, wake_end = socket.socketpair()
        wake.setblocking(False)
        wake_end.setblocking(False)
        before = signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, self._on_signal) for number in HANDLED
        }
        try:
            set_title(f"qcore[{self._services.conf.name}] sentinel")
            settle()
            self._services.notify(
                "qcore_process_started", role="sentinel", conf=self._services.conf
            )
            self._due = dict.fromkeys(range(self._services.conf.workers + 1), 0.0)
            while not self._is_over():
                self._fork_due()
                told = self._wait(wake)
                self._obey_signals()
                for child, status in self._children.reap():
                    self._record_death(child, status)
                if told:
                    self._listen()
                self._tell_readiness()
                self._starts.check(time.monotonic())
                if self._manager.is_due() and self._services.responds():
                    self._manager.tell(WATCHDOG="1")
            self._services.notify(
                "qcore_process_stopping", role="sentinel", conf=self._services.conf
            )
            logger.info("cluster %s stopped", self._services.conf.name)
        finally:
            self._children.kill_all()
            self._manager.close()
            if self._control is not None:
                self._control.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            wake.close()
            wake_end.close()
            unsettle()
        return self._exit

    # -- waiting -------------------------------------------------------------------
    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _wait(self, wake: socket.socket) -> bool:
        """Wait for something to do; return whether the dispatcher has said anything."""
        now = time.monotonic()
        until = [now + self._rest]
        # without a dispatcher no worker can be forked, however long it has been due
        until += [at for place, at in self._due.items() if not place or self._control]
        if self._stopping_until is not None:
            until.append(self._stopping_until)
        if self._manager.is_behind:
            until.append(now + _MANAGER_PAUSE)
        sources = [wake.fileno()]
        if self._control is not None:
            sources.append(self._control.fileno())
        pause = min(max(0.0, min(until) - now), LONGEST_WAIT)
        ready = readable(sources, pause)
        if wake.fileno() in ready:
            wake.recv(4096)
        return self._control is not None and self._control.fileno() in ready

    def _is_over(self) -> bool:
        if self._stopping_until is None:
            return False
        if not self._children:
            return True
        if time.monotonic() >= self._stopping_until:
            logger.error(
                "the cluster did not stop in time; killing the processes that are left"
            )
            self._exit = EXIT_FAILURE
            return True
        return False

    # -- being told ----------------------------------------------------------------
    def _obey_signals(self) -> None:
        numbers, self._signals = self._signals, []
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(self._services.conf.shutdown_grace)
            elif number == signal.SIGQUIT:
                self._stop(0)
            elif number == signal.SIGHUP:
                logger.info("replacing all workers")
                self._tell(ReplaceWorkers())
            elif number in STACKS:
                self._dump_stacks()

    def _dump_stacks(self) -> None:
        """Write the stacks of all processes to stderr, one process after the other."""
        stacks.write()
        for child in self._children:
            logger.warning("stacks of process %d:", child.pid)
            self._children.signal(child.pid, signal.SIGUSR1)
            time.sleep(_STACKS_PAUSE)

    def _stop(self, grace: float) -> None:
        """Begin to stop; at the second call, stop at once."""
        if self._stopping_until is not None:
            grace = 0
        self._manager.tell(STOPPING="1")
        if grace:
            logger.info(
                "stopping: running tasks have up to %g s; a second signal stops at once",
                grace,
            )
        else:
            logger.info("stopping at once")
        self._stopping_until = time.monotonic() + grace + STOP_MARGIN
        self._due.clear()
        self._tell(Stop(grace))

    def _listen(self) -> None:
        """Carry out what the dispatcher asks for."""
        if self._control is None:
            return
        try:
            frames = self._control.receive()
        except ChannelClosed:
            self._control.close()
            self._control = None  # its death will be reaped
            return
        for frame in frames:
            message = unpack_control(frame)
            if isinstance(message, Kill):
                self._children.signal(message.pid, message.signal)
            elif isinstance(message, Ready):
                if child := self._children.get(message.pid):
                    child.ready = True
            elif isinstance(message, Drained) and self._stopping_until is None:
                self._stop(self._services.conf.shutdown_grace)

    def _tell_readiness(self) -> None:
        """Tell the service manager which workers are up, whenever that changes.

        The log has it when all of them are, once, and again after a death of the dispatcher.
        """
        # a new dispatcher knows none of the workers that were killed for the old one
        ready = [
            child.pid for child in self._children if child.ready and not child.killed
        ]
        if ready == self._told_ready:
            if self._manager.is_behind:
                self._manager.tell()
            return
        self._told_ready = ready
        conf = self._services.conf
        words = {
            "STATUS": f"queue {conf.queue}, {len(ready)} of {conf.workers} workers",
            # systemd ignores names that begin with X_; the test kit waits for these workers
            "X_QCORE_WORKERS": ",".join(map(str, ready)),
        }
        if len(ready) >= conf.workers and not self._is_ready:
            self._is_ready = True
            logger.info(
                "cluster %s is ready: queue %s, %d worker%s, broker %s",
                conf.name, conf.queue, len(ready), "" if len(ready) == 1 else "s",
                self._services.broker_name,
            )  # fmt: skip
            words = {"READY": "1", **words}
        self._manager.tell(**words)

    def _tell(self, message: Control, fds: Sequence[int] = ()) -> None:
        if self._control is None:
            return
        try:
            self._control.send(pack_control(message), fds)
        except ChannelClosed:
            logger.debug("the dispatcher is gone and cannot be told %s", message)

    # -- forking ---------------------------------------------------------------------
    def _fork_due(self) -> None:
        now = time.monotonic()
        # the dispatcher first: workers are handed to it
        for place in sorted(self._due):
            if self._due[place] > now or (place and self._control is None):
                continue
            try:
                if place == 0:
                    self._fork_dispatcher()
                else:
                    self._fork_worker(place)
            except OSError as error:
                self._put_off(now, error)
                return
            else:
                self._fork_pause = _FIRST_PAUSE
                del self._due[place]

    def _put_off(self, now: float, error: OSError) -> None:
        """Postpone a fork that the system has refused, each time for longer.

        The processes that exist go on meanwhile.
        """
        logger.error("cannot fork: %s; trying again in %g s", error, self._fork_pause)
        later = now + self._fork_pause
        self._due = {place: max(at, later) for place, at in self._due.items()}
        self._fork_pause = min(2 * self._fork_pause, _LONGEST_PAUSE)

    def _fork_dispatcher(self) -> None:
        ours, theirs = socket.socketpair()

        def work() -> None:
            ours.close()
            dispatcher = Dispatcher(
                self._services,
                Channel(theirs),
                cluster=self._cluster,
                started=self._started,
                restarts=self._restarts,
                run_once=self._run_once,
            )
            dispatcher.run()

        try:
            self._children.fork(0, work)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = Channel(ours)

    def _fork_worker(self, index: int) -> None:
        ours, theirs = socket.socketpair()
        prefetch = make_pair()
        control = self._control
        assert control is not None

        def work() -> None:
            ours.close()
            for end in prefetch[:1]:
                end.close()
            control.close()
            Worker(self._services, theirs, prefetch[1:], index).run()

        try:
            pid = self._children.fork(index, work)
            # both ends of the prefetch queue: the loop can take back what the worker has not begun
            fds = [end.fileno() for end in (ours, *prefetch)]
            self._tell(WorkerStarted(pid, index, len(fds)), fds)
        finally:
            for end in (ours, theirs, *prefetch):
                end.close()

    # -- deaths ----------------------------------------------------------------------
    def _record_death(self, child: Child, status: int) -> None:
        in_order = status == 0
        if child.index == 0:
            self._record_death_of_dispatcher(status)
        else:
            self._tell(WorkerExited(child.pid, status, child.killed))
            if not in_order:
                how = how_it_died(status, ours=child.killed)
                logger.warning("worker %d: %s", child.pid, how)
        if self._stopping_until is None:
            now = time.monotonic()
            well = in_order or child.ready
            delay = self._backoff[child.index].after(now - child.born, well=well)
            self._due[child.index] = now + delay
            self._restarts += 1

    def _record_death_of_dispatcher(self, status: int) -> None:
        """End the workers too: without a dispatcher nobody knows what they do."""
        self._is_ready = False
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._stopping_until is None:
            logger.error(
                "the dispatcher died: %s; a new one is started", how_it_died(status)
            )
            self._children.signal_all(signal.SIGKILL)
        else:
            self._exit = EXIT_OK if status == 0 else EXIT_FAILURE


def readable(sources: Sequence[int], pause: float) -> list[int]:
    """Return the descriptors of which something can be read, waiting ``pause`` seconds.

    ``select`` would not do, because it takes no descriptor above 1,023. A project that has
    opened many files before its cluster starts has higher numbers.
    """
    poll = select.poll()
    for source in sources:
        poll.register(source, select.POLLIN)
    # rounded up, else the last millisecond would be spent going round
    return [number for number, _ in poll.poll(math.ceil(pause * 1000))]
