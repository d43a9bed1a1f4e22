"""Runs in: a worker. Takes one order at a time, runs it, and replies how it ended."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextvars import copy_context
from types import FrameType

from ...envelope import Attempt, Outcome, Task
from ...errors import BrokerUnavailable, StoreUnavailable, TaskCancelled, TaskStopped
from ...signing import peek
from ...status import Progress
from ...tasks.calls import next_link
from ...tasks.execute import error_text, execute
from ...tasks.follow_up import run_hook
from ...tasks.forks import end_if_forked
from ...tasks.progress_report import listen
from ...tasks.timeouts import forget_limits
from ..services import Services
from ..system.descendants import end_outside_group, has_children
from ..system.process import bind, rss_kb, set_title
from ..wire.channel import write_frame
from ..wire.messages import (
    END,
    FOLLOW_UP,
    HOOK,
    LINK,
    READY,
    SOFT_CANCEL,
    SOFT_STOP,
    Order,
    Reply,
    pack_progress,
    pack_reply,
    unpack_order,
)
from ..wire.prefetch import OrderReader
from .cleanup import Cleanup

logger = logging.getLogger("qcore.worker")

#: Seconds between the tries to make the next link of a chain while what a plugin needs for
#: that is away. After the last one the task is given back, and is done once more: without
#: these pauses, it would be done again and again as fast as it runs.
_PAUSES = (0.5, 1.0, 2.0)
#: Seconds between two looks at the memory, where no limit is set: it is only shown.
_RSS_EVERY = 1.0


class Worker:
    """One worker process.

    Args:
        services: what the cluster is made of.
        sock: to the dispatcher; its end is the end of this process.
        prefetch: this worker's end of its prefetch queue, where it has one.
        index: the worker's place, from 1.
    """

    def __init__(
        self,
        services: Services,
        sock: socket.socket,
        prefetch: Sequence[socket.socket],
        index: int,
    ) -> None:
        self._services = services
        self._sock = sock
        self._orders = OrderReader(sock, prefetch)
        self._index = index
        self._pid = os.getpid()
        self._origin = f"{socket.gethostname()}:{self._pid}"
        self._done = 0
        self._rss = 0
        self._rss_at = 0.0
        self._busy = False
        self._retire_reason: str | None = None

    def run(self) -> None:
        """Work until the dispatcher closes the socket, or this worker has to retire."""
        conf = self._services.conf
        signal.signal(SOFT_STOP, self._on_stop)
        signal.signal(SOFT_CANCEL, self._on_cancel)
        bind(self._index - 1, conf.affinity)
        self._title("starting")
        self._services.notify("qcore_process_started", role="worker", conf=conf)
        listen(self._tell_progress)
        # now: the threads that plugins have just started are no task's
        self._cleanup = Cleanup(conf.grace)
        self._serve()
        # to look for them, all processes of the host are read: 2 ms at least
        if conf.daemonize_workers and has_children():
            end_outside_group(os.getpid())
        self._services.notify("qcore_process_stopping", role="worker", conf=conf)

    def _serve(self) -> None:
        try:
            write_frame(self._sock, pack_reply(READY))
            while (frame := self._next()) is not None:
                order = unpack_order(frame)
                if order.kind == END:
                    return
                reply = self._obey(order)
                write_frame(self._sock, pack_reply(reply))
                if reply.retires:
                    return
        except OSError as error:
            # the dispatcher is gone, and with it whoever would listen
            logger.debug("worker %d ends: %s", os.getpid(), error)

    def _next(self) -> bytes | None:
        """Return the next order; None when the dispatcher has gone."""
        if not self._orders.look():  # seldom between short tasks
            self._title("idle")
        return self._orders.take()

    def _obey(self, order: Order) -> Reply:
        task = peek(order.package)
        # Language, time zone and whatever else is a context variable end with the task.
        apart = copy_context()
        self._title(f"{task.func} {task.id}")
        ended = error = following = None
        try:
            # A signal that asks the task to end may raise from here to the last line of
            # this block, once: what raises it takes `_busy` back.
            self._busy = True
            if order.ended is not None:
                following = apart.run(self._follow_up, task, order)
            else:
                ended, error = apart.run(execute, task, order.attempt, self._origin)
                self._done += 1
                if task.links:
                    following = self._next_package(task, ended)
            self._busy = False
        except (TaskStopped, TaskCancelled) as interruption:
            # between the task and the last line: it has ended, unless a link is missing
            if ended is None or task.links:
                ended = _interrupted(interruption)
        finally:
            self._busy = False
            forget_limits()
            # by a plugin's hook, or by the system's own fork
            end_if_forked(self._pid, task)
        self._retire_reason = self._cleanup.after(task, error)
        self._services.tidy(task)
        self._measure()
        return Reply(
            ended, self._done, self._rss, self._retires(), following, order.number
        )

    def _tell_progress(self, progress: Progress) -> None:
        try:
            write_frame(self._sock, pack_progress(progress))
        except OSError as error:
            # the dispatcher is gone; the task ends, and its reply meets the same
            logger.debug("progress is not told: %s", error)

    def _follow_up(self, task: Task, order: Order) -> bytes | None:
        """Run the hook; return the package of the next link, if the order asks for it."""
        assert order.ended is not None
        if task.hook is not None and order.kind != LINK:
            final = order.kind in (FOLLOW_UP, HOOK)
            run_hook(order.ended.result(task, order.attempt, final=final))
        if order.kind == HOOK:
            return None
        return self._next_package(task, order.ended)

    def _next_package(self, task: Task, ended: Attempt) -> bytes | None:
        """Return the package of the next link of a chain, after a success.

        The package goes to the dispatcher with the result of the task, so the chain does
        not depend on the hook.
        """
        if not task.links or ended.outcome != Outcome.SUCCESS:
            return None
        pauses = iter(_PAUSES)
        while True:
            try:
                following = next_link(task, ended)
                if following is not None:
                    following = self._services.prepare(following, task.id)
                return None if following is None else self._services.sign(following)
            except (TaskStopped, TaskCancelled):
                raise
            except (BrokerUnavailable, StoreUnavailable) as error:
                # what a plugin needs is away: the chain must not end for that
                pause = next(pauses, None)
                if pause is None:
                    self._busy = False  # asked to end by itself: no signal adds to it
                    raise TaskStopped(
                        f"its next link cannot be made now: {error}"
                    ) from error
                logger.warning("%s; trying again in %.1f s", error, pause)
            except Exception:  # the success stands, and the worker with it
                logger.exception(
                    "the chain ends after %s id=%s: its next link cannot be made",
                    task.func, task.id,
                )  # fmt: skip
                return None
            time.sleep(pause)

    def _measure(self) -> None:
        now = time.monotonic()
        if self._services.conf.max_rss or now - self._rss_at >= _RSS_EVERY:
            self._rss = rss_kb()
            self._rss_at = now

    def _retires(self) -> bool:
        conf = self._services.conf
        if self._retire_reason is not None:
            logger.warning("worker %d retires: %s", os.getpid(), self._retire_reason)
            return True
        if conf.max_rss is not None and self._rss > conf.max_rss:
            logger.info(
                "worker %d retires: %d kB are over max_rss=%d",
                os.getpid(), self._rss, conf.max_rss,
            )  # fmt: skip
            return True
        return bool(conf.recycle) and self._done >= conf.recycle

    def _title(self, what: str) -> None:
        set_title(f"qcore[{self._services.conf.name}] worker {self._index}: {what}")

    def _on_cancel(self, _signum: int, _frame: FrameType | None) -> None:
        self._interrupt(TaskCancelled("somebody has cancelled the task"))

    def _on_stop(self, _signum: int, _frame: FrameType | None) -> None:
        self._interrupt(TaskStopped("the cluster has to stop; the task will run again"))

    def _interrupt(self, error: TaskCancelled | TaskStopped) -> None:
        """Raise an error in the task, unless it was asked to end before.

        A second one could come while `_obey` handles the first, and end the worker; and a
        task that was asked to end is cleaning up. What does not end is killed after the
        grace. An idle worker is told by its socket: there is nothing to stop then.
        """
        if self._busy:
            self._busy = False
            raise error


def _interrupted(error: TaskStopped | TaskCancelled) -> Attempt:
    """Return the attempt of a task that was asked to end outside of its own code."""
    if isinstance(error, TaskCancelled):
        return Attempt.failed(Outcome.CANCELLED, error_text(error))
    return Attempt.failed(Outcome.STOPPED, "")
