"""Runs in: the sentinel. Its children: forked, signalled and reaped here and nowhere else.

Only the process that reaps a child knows that the pid still belongs to the child. So a
signal never reaches a stranger that was given the number of a dead worker.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator

import msgspec

from ..services import Services
from ..system import stacks
from ..system.descendants import adopt_orphans, end_outside_group
from ..system.process import die_with_parent, leave_to_sentinel

logger = logging.getLogger("qcore.sentinel")

EXIT_OK, EXIT_FAILURE = 0, 1
STACKS = (signal.SIGUSR1, signal.SIGTTIN)
#: What the sentinel answers, and its children do not.
HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGCHLD,
    *STACKS,
)


class Child(msgspec.Struct):
    """A process that we have forked and not yet reaped."""

    pid: int
    index: int  # a worker's place from 1; 0 is the dispatcher
    born: float  # monotonic
    ready: bool = False  # it has come up
    killed: bool = False  # by us, and it lived until then


class Children:
    """The processes of a cluster that the sentinel has forked and not yet reaped."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._children: dict[int, Child] = {}

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._children.values()))

    def get(self, pid: int) -> Child | None:
        """Return a child that has not been reaped."""
        return self._children.get(pid)

    # -- forking ---------------------------------------------------------------------
    def fork(self, index: int, work: Callable[[], None]) -> int:
        """Fork a child that does its work and never returns; return its pid.

        Args:
            index: a worker's place from 1; 0 for the dispatcher.
            work: what it does.

        Raises:
            OSError: the system cannot give another process now.
        """
        self._services.before_fork()
        parent = os.getpid()
        # a child would answer a signal in the sentinel's way, or die of it, until it has
        # handlers of its own
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        pid = 1  # whose mask is set back if there is no child
        try:
            pid = os.fork()
        finally:
            if pid:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if pid:
            self._children[pid] = Child(pid, index, time.monotonic())
            return pid
        role = "worker" if index else "dispatcher"
        code = EXIT_FAILURE
        try:
            _become(role, parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._services.after_fork(role)
            work()
            self._services.before_exit()
            code = EXIT_OK
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else EXIT_FAILURE
        except BaseException:  # the last line of defence: tell, then end
            logger.exception("the %s died", role)
        finally:
            logging.shutdown()
            os._exit(code)

    # -- reaping and killing -----------------------------------------------------------
    def reap(self) -> list[tuple[Child, int]]:
        """Return the children that have died, with what waitpid gave; each one once."""
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if not self._children or os.waitid(os.P_ALL, 0, look) is None:
            return []  # nearly always: one question instead of one for each child
        dead = []
        for pid, child in list(self._children.items()):
            if not _has_ended(pid):
                continue
            if child.index and self._services.conf.daemonize_workers:
                # what the worker has left behind goes with it; now, while its zombie
                # still keeps the number of the group from being used again
                _signal_group(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            dead.append((self._children.pop(pid), status))
        if os.getpid() == 1:
            self._reap_strangers()
        return dead

    def _reap_strangers(self) -> None:
        """Reap processes that tasks have left behind: in a container we are their parent."""
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while self._children:
            ended = os.waitid(os.P_ALL, 0, look)
            # one of ours that has ended since: the next round says what follows
            if ended is None or ended.si_pid in self._children:
                return
            os.waitpid(ended.si_pid, 0)

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a worker, if it is still ours; SIGKILL goes to its group."""
        if pid not in self._children:
            return
        if number == signal.SIGKILL:
            self._kill(self._children[pid])
        else:
            _signal(pid, number)

    def signal_all(self, number: int) -> None:
        """Send a signal to every child; SIGKILL goes to the groups of workers."""
        for child in self._children.values():
            if child.index and number == signal.SIGKILL:
                self._kill(child)
            else:
                _signal(child.pid, number)

    def _kill(self, child: Child) -> None:
        """Kill a worker with what its tasks have started."""
        child.killed = child.killed or not _has_ended(child.pid)
        if self._services.conf.daemonize_workers:
            try:
                end_outside_group(child.pid)
            except OSError as error:  # no descriptor is left to look for them
                logger.warning(
                    "processes that worker %d has left cannot be found: %s",
                    child.pid,
                    error,
                )
        _signal_group(child.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill every child; called before the sentinel ends, for whatever reason."""
        self.signal_all(signal.SIGKILL)
        for pid in list(self._children):
            os.waitpid(pid, 0)
            del self._children[pid]


def _become(role: str, parent: int) -> None:
    """Undo, in the child, what belongs to the sentinel alone."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    leave_to_sentinel(signal.SIGINT)
    leave_to_sentinel(signal.SIGTERM)
    stacks.write_when_it_crashes()
    if role == "worker":
        os.setpgid(0, 0)  # so that its children can be killed with it
        adopt_orphans()
        # a dispatcher sees the sentinel's death by itself, and ends the workers'
        # groups before it goes; this is for the worker that it cannot reach
        die_with_parent(parent)


def _has_ended(pid: int) -> bool:
    """Whether a child that has not been reaped has ended; it is not reaped by that."""
    look = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, look) is not None


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except OSError:
        # nobody is left in the group, or the child has not made it yet: then
        # it is alone, and a kill by pid is enough while it is unreaped
        _signal(pid, number)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        logger.debug("process %d has ended already", pid)
    except PermissionError as error:  # a task has made it somebody else's
        logger.error("process %d cannot be signalled: %s", pid, error)
