"""Runs in: a worker. Standard output and error, as they were when the worker started.

The streams belong to the cluster, and a task may close them. The next descriptor that is
opened gets the number of the closed one. If that is a connection to the database, the next
line of the log is written into this connection.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TextIO

_OUT, _ERR = 1, 2
_Identity = tuple[int, int]


class StandardStreams:
    """The standard streams of this process; those that are open now are kept open."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, _Identity]] = {}  # descriptor -> its copy
        for number in (_OUT, _ERR):
            if (identity := _identify(number)) is not None:
                self._kept[number] = os.dup(number), identity

    def restore(self) -> str | None:
        """Open closed streams again; return what was closed, or None if nothing was."""
        if self._are_whole():
            return None
        for number, (copy, identity) in self._kept.items():
            if _identify(number) != identity:
                os.dup2(copy, number)
        if _is_closed(sys.stdout):
            sys.stdout = _reopened(sys.stdout, _OUT)
        if _is_closed(sys.stderr):
            sys.stderr = _reopened(sys.stderr, _ERR)
        return "a task closed, or replaced, standard output or error"

    def _are_whole(self) -> bool:
        for number, (_, identity) in self._kept.items():
            if _identify(number) != identity:
                return False
        return not _is_closed(sys.stdout) and not _is_closed(sys.stderr)


def _identify(number: int) -> _Identity | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_closed(stream: TextIO | None) -> bool:
    return bool(getattr(stream, "closed", False))


def _reopened(old: TextIO, number: int) -> TextIO:
    """Return a new object for a stream, and have the log go on with it."""
    new = io.TextIOWrapper(
        os.fdopen(number, "wb", 0, closefd=False), write_through=True
    )
    for logger in (logging.getLogger(), logging.getLogger("qcore")):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is old:
                handler.stream = new  # setStream() would flush the closed one
    return new
