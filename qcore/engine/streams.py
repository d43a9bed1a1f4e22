"""Runs in: a worker. Standard output and error, as they were when the worker started.

They are those of the cluster, and a task may close them. The number of a closed
descriptor goes to whatever is opened next, perhaps a connection to the database, and
then a line of the log is written into that.
"""

from __future__ import annotations

import io
import logging
import os
import sys

_OUT, _ERR = 1, 2
_Identity = tuple[int, int]


class Streams:
    """The standard streams of this process; those that are open now are kept open."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, _Identity]] = {}  # descriptor -> its copy
        for number in (_OUT, _ERR):
            if (identity := _identify(number)) is not None:
                self._kept[number] = os.dup(number), identity

    def restore(self) -> str | None:
        """Open again what was closed; return what happened, or None if nothing did."""
        lost = [
            number
            for number, (_, identity) in self._kept.items()
            if _identify(number) != identity
        ]
        for number in lost:
            os.dup2(self._kept[number][0], number)
        closed = [name for name in ("stdout", "stderr") if _is_closed(name)]
        for name in closed:
            _reopen(name, _ERR if name == "stderr" else _OUT)
        if not lost and not closed:
            return None
        return "a task closed, or replaced, standard output or error"


def _identify(number: int) -> _Identity | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_closed(name: str) -> bool:
    stream = getattr(sys, name)
    return stream is not None and getattr(stream, "closed", False)


def _reopen(name: str, number: int) -> None:
    """Make a new object of a stream, and have the log go on with it."""
    old = getattr(sys, name)
    new = io.TextIOWrapper(
        os.fdopen(number, "wb", 0, closefd=False), write_through=True
    )
    setattr(sys, name, new)
    for logger in (logging.getLogger(), logging.getLogger("qcore")):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is old:
                handler.stream = new  # setStream() would flush the closed one
