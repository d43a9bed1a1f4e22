"""Forks: processes that a task has forked, and that come back from it.

Runs in: a child of a worker, or of the caller where ``sync`` is set. The child has all
that its parent has, the link to the dispatcher too. It would report the end of the task
a second time, and go on as a second worker; so it ends where the task's code does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import NoReturn

from ..envelope import Task

logger = logging.getLogger("qcore.worker")


def end_if_forked(owner: int, task: Task) -> None:
    """End this process if the task has forked it.

    To be called in a ``finally``, as near to the call as can be.

    Args:
        owner: pid of the process that has called it.
        task: that was called.
    """
    if os.getpid() != owner:
        _end(task)


def _end(task: Task) -> NoReturn:
    """End with the exit code that a script would have."""
    error = sys.exception()
    code = 0 if error is None else 1
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        code = error.code or 0
    try:
        logger.warning(
            "%s id=%s forked process %d, which returned from the task and was ended"
            " with exit code %d. End a forked process with os._exit().",
            task.func, task.id, os.getpid(), code,
            exc_info=None if isinstance(error, SystemExit) else error,
        )  # fmt: skip
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
    finally:
        os._exit(code & 0xFF)
