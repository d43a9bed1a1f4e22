"""Whether a service was restarted, as far as that can be seen from outside of it.

A test that "survives a restart" of a service that has never ended proves nothing. So the
contracts call ``restart_service`` through ``restart`` below, which looks for evidence.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from ...brokers.base import Broker
from ...errors import BrokerUnavailable
from ..speed import Patience

#: ``restart_service(kill)`` of an author's tests.
RestartService = Callable[[bool], AbstractContextManager[object] | None]

#: Seconds in which the end of a connection is seen after the service has ended.
_SEEN = 5.0
# macOS has no POLLRDHUP, and says POLLHUP in its place.
_ENDED = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


def restart(
    restart_service: RestartService, kill: bool, connect: Callable[[], Broker]
) -> None:
    """Restart the service, and see that it was away.

    Where ``restart_service`` returns a context manager, the service must not answer in
    its ``with`` block. Else it has restarted the service when it returns, and one of the
    connections of this process must have ended: a process that ends closes them all.

    Args:
        restart_service: the fixture of the author's tests.
        kill: what it is called with.
        connect: returns a broker for the first kind to ask, not yet connected.

    Raises:
        pytest.fail.Exception: nothing was restarted, or that cannot be seen.
    """
    with _connections() as before:
        away = restart_service(kill)
        if away is None:
            _see_an_end(before)
            return
    with away, closing(connect()) as broker:
        try:
            broker.ping()
        except BrokerUnavailable:
            return
        pytest.fail(
            "the service still answers within the `with` block of restart_service,"
            " where it must be away"
        )


def _see_an_end(connections: list[socket.socket]) -> None:
    if not connections:
        pytest.fail(
            "this process has no connection that a restart would end, so that it cannot"
            " be seen whether restart_service does anything. Have it return a context"
            " manager, in whose `with` block the service is away."
        )
    patience = Patience(_SEEN)
    while not any(_has_ended(one) for one in connections):
        if patience.is_over():
            peers = ", ".join(sorted({str(one.getpeername()) for one in connections}))
            pytest.fail(
                f"restart_service has restarted nothing: every connection is still open"
                f" ({peers}). It must end the service and start it again."
            )
        time.sleep(0.01)


@contextmanager
def _connections() -> Iterator[list[socket.socket]]:
    """Give copies of the connections that this process has with others."""
    with ExitStack() as stack:
        found = []
        for descriptor in [int(path.name) for path in Path("/dev/fd").iterdir()]:
            copy = _connection(descriptor)
            if copy is not None:
                found.append(stack.enter_context(copy))
        yield found


def _connection(descriptor: int) -> socket.socket | None:
    """Return a copy of a descriptor that is one end of a connection; else None."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        copy = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None  # closed meanwhile, as that of the listing itself
    try:
        # the two ends of a socketpair have no name, and both are ours
        if copy.type == socket.SOCK_STREAM and copy.getpeername():
            return copy
    except OSError:
        pass  # it listens, or is not connected yet
    copy.close()
    return None


def _has_ended(connection: socket.socket) -> bool:
    """Whether the other end is closed, with something left to be read or not."""
    poll = select.poll()
    poll.register(connection, _ENDED)
    return bool(poll.poll(0))
