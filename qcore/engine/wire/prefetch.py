"""Runs in: the dispatcher's loop, and workers. Orders laid ahead for a busy worker.

A worker that ends a short task finds its next order here, and need not wait for the loop
to be woken, to read its reply and to send one. Nothing is stranded here behind a task
that turns out to be long: what the worker has not begun can be taken back. Each order
is one packet, and the kernel gives a packet to one reader only, be it the worker or the
loop, which holds the worker's end as well; so neither has to ask the other, and either
may be killed at any moment. The worker may take a packet between two that the loop takes
back, so each has a number, and the loop knows which of them it has got. A packet that the
worker has read and may not begin yet goes back the same way: the worker keeps nothing.

Systems whose local sockets have no packets (macOS) have no prefetch queues: there a worker gets
its next order when its reply has been read.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence

from .channel import read_frame
from .messages import HEAD_SIZE, number_of

#: Bytes of the largest order laid ahead. A packet has to fit into the socket's buffer
#: (212,992 bytes by default on Linux) beside others.
_LARGEST = 32 * 1024


def make_pair() -> tuple[socket.socket, ...]:
    """Return the loop's end and the worker's end; nothing where there are no packets."""
    try:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        return ()


class PrefetchQueue:
    """The orders that lie ahead for one worker, as the loop has them.

    Args:
        put_end: what orders are sent into.
        take_end: the worker's end of it.
    """

    __slots__ = ("_put_end", "_take_end")

    def __init__(self, put_end: socket.socket, take_end: socket.socket) -> None:
        # one flag for all who hold an end: the worker asks before it reads
        put_end.setblocking(False)
        take_end.setblocking(False)
        self._put_end = put_end
        self._take_end = take_end

    def put(self, order: bytes) -> bool:
        """Lay an order ahead; return False where it is too large, or too many lie there."""
        if len(order) > _LARGEST:
            return False
        try:
            self._put_end.send(order)
        except OSError:
            return False
        return True

    def take_back(self) -> set[int]:
        """Remove all that the worker has not taken; return the numbers of these orders.

        What the worker has taken and given back is among them.
        """
        return _numbers(self._take_end) | _numbers(self._put_end)

    def close(self) -> None:
        """Close both ends."""
        self._put_end.close()
        self._take_end.close()


def _numbers(end: socket.socket) -> set[int]:
    """Remove all packets that can be read at one end; return the numbers of their orders."""
    numbers: set[int] = set()
    while True:
        try:
            # the rest of a packet goes with its head
            head = end.recv(HEAD_SIZE)
        except OSError:  # there is no more; or a task has broken the socket
            return numbers
        if len(head) < HEAD_SIZE:  # a task has shut the socket down, or written on it
            return numbers
        numbers.add(number_of(head))


class OrderReader:
    """Where a worker's orders come from.

    What is on the channel was sent while the worker had nothing to do, so it is older than
    anything in the prefetch queue, and is done first. That holds also where the worker has
    seen a packet that the loop took back before it was read, sent on the channel, and
    replaced by another one: so the channel is looked at once more after a packet. If
    something is there, the packet goes back to the loop, which assigns it anew: behind a
    long task it would be stranded here.

    Args:
        channel: to the dispatcher.
        prefetch: the worker's end of its prefetch queue, where it has one.
    """

    def __init__(
        self, channel: socket.socket, prefetch: Sequence[socket.socket]
    ) -> None:
        self._channel = channel
        self._prefetch = prefetch[0] if prefetch else None
        self._poll = select.poll()
        for sock in (channel, *prefetch):
            self._poll.register(sock, select.POLLIN)

    def take(self) -> bytes | None:
        """Return the next order, waiting for it; None when the dispatcher has gone."""
        while self._prefetch is not None and not self._has_order(None):
            try:
                order = self._prefetch.recv(_LARGEST)
            except BlockingIOError:
                continue  # it was taken back in between
            if not order:
                # its other end is closed: the channel says what that means
                self._poll.unregister(self._prefetch)
                self._prefetch = None
            elif not self._has_order(0):
                return order
            else:
                # the way back is empty, or has been read: a packet always has place
                self._prefetch.send(order)
                break
        return read_frame(self._channel)

    def _has_order(self, timeout: int | None) -> bool:
        """Wait for up to ``timeout`` ms; return whether something is on the channel."""
        ready = self._poll.poll(timeout)
        return any(fd == self._channel.fileno() for fd, _ in ready)
