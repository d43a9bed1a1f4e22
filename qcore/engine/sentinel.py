"""Runs in: the main process. Forks, reaps and kills; it does nothing else.

One thread, no queue, no database, no user code: there is little here that could hang
or die. All the knowledge is in the dispatcher; all the power over processes is here,
because only who reaps a process knows that its pid is still its own.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from .dispatcher import Dispatcher
from .limits import (
    die_with_parent,
    how_it_died,
    leave_to_sentinel,
    set_title,
)
from .link import Closed, Link
from .messages import (
    Control,
    Died,
    Drained,
    Hired,
    Kill,
    Ready,
    Renew,
    Stop,
    pack_control,
    unpack_control,
)
from .parts import Parts
from .worker import Worker

logger = logging.getLogger("qcore.sentinel")

#: Seconds that a stop may take beyond its grace before everything is killed.
STOP_MARGIN = 5.0
#: A process that dies within this many seconds of its birth is replaced ever later.
_TOO_SOON = 2.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0
#: Seconds that a process has to write its stacks before the next one is asked; they
#: come in many small writes, which would be mixed up in the log.
_STACKS_PAUSE = 0.02

EXIT_OK, EXIT_FAILURE = 0, 1


@dataclass(slots=True)
class Child:
    """A process that we have forked and not yet reaped."""

    pid: int
    index: int  # a worker's place from 1; 0 is the dispatcher
    born: float  # monotonic
    ready: bool = False  # it has come up


class Backoff:
    """How long to wait before a process in one place is replaced.

    A process that ends in order, or dies after it has come up, is replaced at once: a
    task may kill its worker, and the other tasks must not wait for that.
    """

    def __init__(self) -> None:
        self._failures = 0

    def after(self, lifetime: float, well: bool) -> float:
        """Return the seconds to wait, growing while processes die in their start.

        Args:
            lifetime: seconds from fork to death.
            well: it has come up, or ended in order.
        """
        if well or lifetime >= _TOO_SOON:
            self._failures = 0
            return 0.0
        self._failures += 1
        if self._failures == 1:
            return 0.0  # one early death is an accident
        delay: float = _FIRST_DELAY * 2 ** (self._failures - 2)
        return min(_LONGEST_DELAY, delay)


class Sentinel:
    """The supervisor of one cluster.

    Args:
        parts: what the cluster is made of.
        cluster: its id.
        run_once: end when the queue is empty.
    """

    def __init__(self, parts: Parts, cluster: str, *, run_once: bool = False) -> None:
        self._parts = parts
        self._cluster = cluster
        self._run_once = run_once
        self._children: dict[int, Child] = {}
        self._control: Link | None = None
        self._due: dict[int, float] = {}  # place -> when to fork for it, monotonic
        self._backoff = {place: Backoff() for place in range(parts.conf.workers + 1)}
        self._stopping_until: float | None = None
        self._signals: list[int] = []
        self._exit = EXIT_OK
        self._started = time.time()
        self._restarts = 0

    def run(self) -> int:
        """Run the cluster until it is told to stop; return the exit code."""
        wake, wake_end = socket.socketpair()
        wake.setblocking(False)
        wake_end.setblocking(False)
        before = signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, self._on_signal) for number in _HANDLED
        }
        try:
            set_title(f"qcore[{self._parts.conf.name}] sentinel")
            # what is in memory now never changes again: keep the collector of each
            # child from touching, and so copying, its pages
            gc.collect()
            gc.freeze()
            self._parts.notify(
                "qcore_process_started", role="sentinel", conf=self._parts.conf
            )
            self._due = dict.fromkeys(range(self._parts.conf.workers + 1), 0.0)
            while not self._is_over():
                self._fork_due()
                self._wait(wake)
                self._obey_signals()
                self._reap()
                self._listen()
            self._parts.notify(
                "qcore_process_stopping", role="sentinel", conf=self._parts.conf
            )
        finally:
            self._kill_all()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            wake.close()
            wake_end.close()
            gc.unfreeze()
        return self._exit

    # -- waiting -------------------------------------------------------------------
    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _wait(self, wake: socket.socket) -> None:
        now = time.monotonic()
        until = [now + self._parts.conf.guard_cycle]
        # without a dispatcher no worker can be forked, however long it has been due
        until += [at for place, at in self._due.items() if not place or self._control]
        if self._stopping_until is not None:
            until.append(self._stopping_until)
        sources = [wake.fileno()]
        if self._control is not None:
            sources.append(self._control.fileno())
        ready, _, _ = select.select(sources, [], [], max(0.0, min(until) - now))
        if wake.fileno() in ready:
            wake.recv(4096)

    def _is_over(self) -> bool:
        if self._stopping_until is None:
            return False
        if not self._children:
            return True
        if time.monotonic() >= self._stopping_until:
            logger.error("the cluster did not stop in time; killing what is left")
            self._exit = EXIT_FAILURE
            return True
        return False

    # -- being told ----------------------------------------------------------------
    def _obey_signals(self) -> None:
        numbers, self._signals = self._signals, []
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(self._parts.conf.shutdown_grace)
            elif number == signal.SIGQUIT:
                self._stop(0)
            elif number == signal.SIGHUP:
                logger.info("replacing all workers")
                self._tell(Renew())
            elif number in _STACKS:
                self._dump_stacks()

    def _dump_stacks(self) -> None:
        """Write the stacks of all processes to stderr, one process after the other."""
        faulthandler.dump_traceback(all_threads=True)
        for child in self._children.values():
            logger.warning("stacks of process %d:", child.pid)
            os.kill(child.pid, signal.SIGUSR1)
            time.sleep(_STACKS_PAUSE)

    def _stop(self, grace: float) -> None:
        """Begin to stop; a second time means now."""
        if self._stopping_until is not None:
            grace = 0
        logger.info("stopping, up to %g s for the running tasks", grace)
        self._stopping_until = time.monotonic() + grace + STOP_MARGIN
        self._due.clear()
        self._tell(Stop(grace))

    def _listen(self) -> None:
        """Do what the dispatcher asks for."""
        if self._control is None:
            return
        try:
            frames = self._control.receive()
        except Closed:
            self._control.close()
            self._control = None  # its death will be reaped
            return
        for frame in frames:
            message = unpack_control(frame)
            if isinstance(message, Kill):
                self._signal(message.pid, message.signal)
            elif isinstance(message, Ready):
                if message.pid in self._children:
                    self._children[message.pid].ready = True
            elif isinstance(message, Drained) and self._stopping_until is None:
                self._stop(self._parts.conf.shutdown_grace)

    def _tell(self, message: Control, fd: int | None = None) -> None:
        if self._control is None:
            return
        try:
            self._control.send(pack_control(message), fd)
        except Closed:
            logger.debug("the dispatcher is gone and cannot be told %s", message)

    # -- forking ---------------------------------------------------------------------
    def _fork_due(self) -> None:
        now = time.monotonic()
        # the dispatcher first: workers are handed to it
        for place in sorted(self._due):
            if self._due[place] > now or (place and self._control is None):
                continue
            try:
                self._fork_dispatcher() if place == 0 else self._fork_worker(place)
            except OSError as error:
                logger.error("cannot fork: %s; trying again in 1 s", error)
                self._due[place] = now + 1.0
            else:
                del self._due[place]

    def _fork_dispatcher(self) -> None:
        ours, theirs = socket.socketpair()

        def work() -> None:
            ours.close()
            dispatcher = Dispatcher(
                self._parts,
                Link(theirs),
                cluster=self._cluster,
                started=self._started,
                restarts=self._restarts,
                run_once=self._run_once,
            )
            dispatcher.run()

        try:
            pid = self._fork("dispatcher", work)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = Link(ours)
        self._children[pid] = Child(pid, 0, time.monotonic())

    def _fork_worker(self, index: int) -> None:
        ours, theirs = socket.socketpair()
        control = self._control
        assert control is not None

        def work() -> None:
            ours.close()
            control.close()
            Worker(self._parts, theirs, index).run()

        try:
            pid = self._fork("worker", work)
            self._children[pid] = Child(pid, index, time.monotonic())
            self._tell(Hired(pid, index), ours.fileno())
        finally:
            ours.close()
            theirs.close()

    def _fork(self, role: str, work: Callable[[], None]) -> int:
        """Fork a child that does its work and never returns; return its pid."""
        self._parts.before_fork()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = EXIT_FAILURE
        try:
            self._become(role, parent)
            self._parts.after_fork(role)
            work()
            self._parts.before_exit()
            code = EXIT_OK
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else EXIT_FAILURE
        except BaseException:  # the last line of defence: tell, then end
            logger.exception("the %s died", role)
        finally:
            logging.shutdown()
            os._exit(code)

    def _become(self, role: str, parent: int) -> None:
        """Shed what belongs to the sentinel, in the child."""
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        leave_to_sentinel(signal.SIGINT)
        leave_to_sentinel(signal.SIGTERM)
        faulthandler.enable()  # a task that crashes in C leaves its stack in the log
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        if role == "worker":
            os.setpgid(0, 0)  # so that its children can be killed with it
            # a dispatcher sees the sentinel's death by itself, and ends the workers'
            # groups before it goes; this is for the worker that it cannot reach
            die_with_parent(parent)

    # -- reaping and killing -----------------------------------------------------------
    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            if child.index and self._parts.conf.daemonize_workers:
                # what the worker has left behind goes with it; now, while its zombie
                # still keeps the number of the group from being used again
                _signal_group(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            self._bury(self._children.pop(pid), status)

    def _bury(self, child: Child, status: int) -> None:
        in_order = status == 0
        if child.index == 0:
            self._bury_dispatcher(status)
        else:
            self._tell(Died(child.pid, status))
            if not in_order:
                logger.warning("worker %d: %s", child.pid, how_it_died(status))
        if self._stopping_until is None:
            now = time.monotonic()
            well = in_order or child.ready
            delay = self._backoff[child.index].after(now - child.born, well)
            self._due[child.index] = now + delay
            self._restarts += 1

    def _bury_dispatcher(self, status: int) -> None:
        """Without a dispatcher nobody knows what the workers do: end them as well."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._stopping_until is None:
            logger.error("the dispatcher died: %s; starting anew", how_it_died(status))
            self._signal_all(signal.SIGKILL)
        else:
            self._exit = EXIT_OK if status == 0 else EXIT_FAILURE

    def _signal(self, pid: int, number: int) -> None:
        """Send a signal to a worker, if it is still ours; SIGKILL goes to its group."""
        if pid not in self._children:
            return
        if number == signal.SIGKILL:
            _signal_group(pid, number)
        else:
            os.kill(pid, number)

    def _signal_all(self, number: int) -> None:
        for child in self._children.values():
            if child.index and number == signal.SIGKILL:
                _signal_group(child.pid, number)
            else:
                os.kill(child.pid, number)

    def _kill_all(self) -> None:
        """Leave nothing behind, whatever the reason for leaving."""
        self._signal_all(signal.SIGKILL)
        for pid in list(self._children):
            os.waitpid(pid, 0)
            del self._children[pid]
        if self._control is not None:
            self._control.close()
            self._control = None


_STACKS = (signal.SIGUSR1, signal.SIGTTIN)
_HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGCHLD,
    *_STACKS,
)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # nobody is left in the group, or the child has not made it yet: then
        # it is alone, and a kill by pid is enough while it is unreaped
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            logger.debug("process %d has ended already", pid)
