"""Runs in: the sentinel. Finds workers that do not come up: they hang, or were stopped.

A worker that has come up and is stopped later leaves its order unread, and the dispatcher
has it replaced. A worker that has not come up gets no order, so nobody else looks at it, and
it has no task that could be lost.
"""

from __future__ import annotations

import logging
import signal

from .children import Child, Children

logger = logging.getLogger("qcore.sentinel")

#: Seconds until the log names a worker that has not come up, and shows its stacks. A start
#: takes milliseconds, and longer where the hook of a plugin loads much or waits for a server.
SLOW = 30.0
#: Seconds until the worker is replaced. Ten times as long: a start that is only slow would
#: be as slow again, so a replacement heals nothing but a worker that hangs by chance.
LONGEST = 300.0


class Starts:
    """The workers that have been forked and have not come up.

    Args:
        children: the processes of the cluster.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self._told: set[int] = set()  # pids that the log has named

    def check(self, now: float) -> None:
        """Log which workers are slow, and kill those that are too slow.

        Args:
            now: on the monotonic clock.
        """
        starting = [child for child in self._children if _is_starting(child)]
        self._told &= {child.pid for child in starting}
        for child in starting:
            seconds = now - child.born
            if seconds >= LONGEST:
                logger.error(
                    "worker %d has not come up in %d s; it is killed and replaced",
                    child.pid, seconds,
                )  # fmt: skip
                self._children.signal(child.pid, signal.SIGKILL)
            elif seconds >= SLOW and child.pid not in self._told:
                self._told.add(child.pid)
                logger.warning(
                    "worker %d has not come up in %d s; its stacks follow. It is replaced"
                    " after %d s",
                    child.pid, seconds, LONGEST,
                )  # fmt: skip
                self._children.signal(child.pid, signal.SIGUSR1)


def _is_starting(child: Child) -> bool:
    return bool(child.index) and not child.ready and not child.killed
