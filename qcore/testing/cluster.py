"""LiveCluster: a real sentinel, dispatcher and workers for a test, on any broker."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from .. import status
from ..conf import Conf
from ..processes import Process, lives, processes
from ..runtime import current
from . import settings
from .orphans import OrphanGuard
from .readiness import Readiness
from .speed import Patience, stretched

T = TypeVar("T")

#: Seconds between two looks at what is waited for, and how many times longer than a look
#: the pause is at least: whoever waits takes little from the processors that work.
_PAUSE = 0.01
_REST = 4
#: Seconds that a cluster has to come up: Django starts in one, on a busy machine in ten.
START_SECONDS = 30.0


class LiveCluster:
    """``qcore cluster`` in processes of its own, for the length of a ``with`` block.

    It takes this process's settings with ``options`` over ``Q_CLUSTER``, and the very
    databases that this process is connected to. They must be visible from outside: a
    file where it is SQLite, and no test transaction around what the test writes
    (``TransactionTestCase``, or pytest's ``transactional_db``)::

        with LiveCluster(workers=2, timeout=5) as cluster:
            task_id = async_task("shop.tasks.mail", 7)
            cluster.kill_worker()
            assert result(task_id, wait=10_000) == "sent"

    Whatever happens in the block, nothing of the cluster lives after it; it ends with
    this process, too, should that be killed. Seconds are those of a calm machine: a busy
    one gets as many times more as it is slower.

    Args:
        queue: the cluster's queue, as in ``qcore cluster --name``; None means the
            project's own.
        run_once: end when the queue is empty.
        django: Django settings to change besides, such as ``{"CACHES": {...}}``.
        environ: variables to set in its environment.
        options: keys of Q_CLUSTER. Values are written as Python literals.
    """

    def __init__(
        self,
        *,
        queue: str | None = None,
        run_once: bool = False,
        django: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        from django.conf import settings as project

        merged = {**getattr(project, "Q_CLUSTER", {}), **options}
        self.conf = Conf.from_dict(
            merged,
            claimed=current.registry.claims(),
            settings=current.registry.settings(),
            environ={"Q_CLUSTER_NAME": queue or ""},
        )
        self._queue = queue
        self._run_once = run_once
        self._environ = dict(environ or {})
        self._changes = {**(django or {}), "Q_CLUSTER": merged}
        self._folder = Path(tempfile.mkdtemp(prefix="qcore-live-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: OrphanGuard | None = None
        self._readiness: Readiness | None = None  # None: the caller listens himself

    # -- its life ------------------------------------------------------------------
    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, *, wait: bool = True) -> None:
        """Start the cluster; returns when it is complete, and its workers take tasks.

        Args:
            wait: False returns at once, for a cluster that will not come up.

        Raises:
            AssertionError: it ended, or was not complete in time; with its log.
        """
        module = f"qcore_live_{secrets.token_hex(4)}"
        settings.write(self._folder / f"{module}.py", self._changes)
        path = [str(self._folder), *(entry for entry in sys.path if entry)]
        command = [sys.executable, "-m", "qcore", "cluster", "--settings", module]
        command += ["--name", self._queue] if self._queue else []
        command += ["--run-once"] if self._run_once else []
        self._listen()
        self._process = self._spawn(command, path)
        if self._guard is not None:  # of the one before, whose number may be used again
            self._guard.dismiss()
        self._guard = OrphanGuard(self.sentinel, self._folder)
        if wait and not self._run_once:
            self.wait_complete()

    def _listen(self) -> None:
        """Have the new cluster say which of its workers have come up."""
        self._forget_readiness()
        if "NOTIFY_SOCKET" not in self._environ:
            self._readiness = Readiness(self._folder)

    def _forget_readiness(self) -> None:
        if self._readiness is not None:
            self._readiness.close()
            self._readiness = None

    def _spawn(self, command: list[str], path: list[str]) -> subprocess.Popen[bytes]:
        """Start the sentinel, which leads a session of its own."""
        with self._log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment(path),
                start_new_session=True,
            )

    def _environment(self, path: list[str]) -> dict[str, str]:
        """Return its environment, with the folders of its modules."""
        found = {"PYTHONPATH": os.pathsep.join(path)}
        if self._readiness is not None:
            found["NOTIFY_SOCKET"] = self._readiness.address
        return {**os.environ, **found, **self._environ}

    def is_complete(self) -> bool:
        """Whether dispatcher and all workers are there, and the workers have come up.

        With a ``NOTIFY_SOCKET`` in the argument ``environ`` the cluster tells somebody
        else which workers have come up; then they have only to be there.

        Raises:
            AssertionError: the cluster has ended.
        """
        code = self.exit_code
        if code is not None:
            raise AssertionError(f"the cluster ended with {code}\n{self.log}")
        groups = [(p.pid, p.group) for p in self._children()]
        workers = {pid for pid, group in groups if pid == group}
        has_dispatcher = any(group == self.sentinel for _, group in groups)
        if not has_dispatcher or len(workers) != self.conf.workers:
            return False
        return self._readiness is None or workers <= self._readiness.workers()

    def wait_complete(self, *, without: Collection[int] = ()) -> None:
        """Wait until it is complete, and none of some processes is there any more.

        Args:
            without: pids of a dispatcher or of workers that are about to end.

        Raises:
            AssertionError: it ended, or was not complete in time; with its log.
        """

        def is_renewed() -> bool:
            left = {process.pid for process in self._children()} & {*without}
            return not left and self.is_complete()

        what = f"it is complete, without {without}" if without else "it is complete"
        self.wait_for(is_renewed, START_SECONDS, what)

    def stop(self, timeout: float = 40.0) -> int:
        """Send SIGTERM and return the exit code.

        Raises:
            AssertionError: it did not end within ``timeout`` seconds.
        """
        if self.exit_code is None:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 40.0) -> int:
        """Wait until the sentinel ends by itself, and return its exit code."""
        try:
            return self._started.wait(timeout)
        except subprocess.TimeoutExpired:
            more = stretched(timeout) - timeout
        try:
            return self._started.wait(more)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the cluster did not end in {timeout + more:.3g} s\n{self.log}"
            ) from None

    def close(self) -> None:
        """Kill whatever is left of it, and delete its folder."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self.signal_all(signal.SIGKILL)
            self._process.wait()
        if self._guard is not None:
            self._guard.dismiss()
        self._forget_readiness()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- its processes ---------------------------------------------------------------
    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise AssertionError("the cluster was not started")
        return self._process

    @property
    def sentinel(self) -> int:
        """The pid of the sentinel."""
        return self._started.pid

    @property
    def dispatcher(self) -> int:
        """The pid of the dispatcher; waits for one that is being replaced."""
        return self.wait_for(self._dispatchers, what="there is a dispatcher")[0]

    @property
    def workers(self) -> list[int]:
        """The pids of the workers that live now, ascending."""
        # each leads a process group of its own, so that its children die with it
        return [p.pid for p in self._children() if p.group == p.pid]

    def _dispatchers(self) -> list[int]:
        return [p.pid for p in self._children() if p.group == self.sentinel]

    def _children(self) -> list[Process]:
        found = [p for p in processes() if p.parent == self.sentinel and p.lives]
        return sorted(found, key=lambda process: process.pid)

    def survivors(self) -> list[Process]:
        """Return the living processes of its session; tasks may have started some of them."""
        return [p for p in processes() if p.session == self.sentinel and p.lives]

    @property
    def exit_code(self) -> int | None:
        """The exit code of the sentinel; None while it runs, negative for a signal."""
        return self._started.poll()

    @property
    def snapshot(self) -> status.Snapshot | None:
        """The last status that the cluster has published; None before the first."""
        found = (s for s in status.snapshots() if s.sentinel_pid == self.sentinel)
        return next(found, None)

    # -- faults ----------------------------------------------------------------------
    def signal(self, number: int) -> None:
        """Send a signal to the sentinel."""
        os.kill(self.sentinel, number)

    def signal_all(self, number: int) -> None:
        """Send a signal to every process of its session, tasks' programs too.

        One after the other; a process that has ended meanwhile gets none.
        """
        for process in self.survivors():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def kill_sentinel(self) -> None:
        """Kill the sentinel with SIGKILL."""
        self.signal(signal.SIGKILL)
        self._started.wait()

    def kill_dispatcher(self) -> int:
        """Kill the dispatcher with SIGKILL; return its pid when it has ended."""
        return self._kill(self.dispatcher)

    def kill_worker(self, pid: int | None = None) -> int:
        """Kill a worker with SIGKILL, the oldest unless told; return its pid when it has ended."""
        return self._kill(self.workers[0] if pid is None else pid)

    def _kill(self, pid: int) -> int:
        """Kill a process of it; a machine that is busy needs a while to end it."""
        os.kill(pid, signal.SIGKILL)
        self.wait_for(lambda: not lives(pid), what=f"process {pid} has ended")
        return pid

    # -- waiting -----------------------------------------------------------------------
    def wait_idle(self, timeout: float | None = None) -> None:
        """Wait until its queue has nothing that waits, and nothing that is claimed.

        Where the broker cannot count what is claimed, only what waits is asked for. A failed task that is to be tried again stays claimed until then.

        Args:
            timeout: seconds of a calm machine. Default: 20, and as many more as a lease
                has, for there may be a delivery that comes again after its lease.

        Raises:
            Unsupported: the broker cannot count.
        """
        broker = current.broker(self.conf.queue)
        if timeout is None:
            timeout = 20.0 + self.conf.retry

        def is_empty() -> bool:
            return not broker.queue_size() and not broker.sizes()[1]

        def is_idle() -> bool:
            # twice: a lease that ends between two counts is in neither of them
            return is_empty() and is_empty()

        self.wait_for(is_idle, timeout, "the queue is empty")

    def wait_for(
        self, question: Callable[[], T], timeout: float = 20.0, what: str | None = None
    ) -> T:
        """Ask until the answer is true, and return it.

        Args:
            question: is asked every 10 ms; less often when it takes long.
            timeout: seconds of a calm machine.
            what: what is waited for, for the message.

        Raises:
            AssertionError: the answer was not true in time; with the cluster's log.
        """
        patience = Patience(timeout)
        begun = time.thread_time()
        while not (answer := question()):
            if patience.is_over():
                raise AssertionError(
                    f"after {patience.spent:.3g} s it is not so that {what or question}\n"
                    f"{self.log}"
                )
            time.sleep(max(_PAUSE, _REST * (time.thread_time() - begun)))
            begun = time.thread_time()
        return answer

    @property
    def _log_path(self) -> Path:
        return self._folder / "log"

    @property
    def log(self) -> str:
        """Everything that it has written to stdout and stderr."""
        path = self._log_path
        return path.read_text(errors="replace") if path.exists() else ""
