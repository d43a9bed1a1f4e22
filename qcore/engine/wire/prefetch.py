"""Runs in: the dispatcher's loop, and workers. Orders laid ahead for a busy worker.

A worker that ends a short task finds its next order here. It does not wait until the loop
wakes, reads the reply and sends an order. No order is stuck behind a task that turns out
to be long: the loop takes back the orders that the worker has not begun.

Each order is one packet. The loop holds the worker's end of the socket as well, and the
kernel gives a packet to one reader only. So worker and loop need not ask each other, and
each may be killed at any moment. The worker may take a packet between two packets that
the loop takes back. Therefore every order has a number, which tells the loop what it has
got. A worker that has read a packet and may not begin it yet sends it back the same way.

Some systems (macOS) have no local sockets with packets, and so no prefetch queues. There
a worker gets its next order after the loop has read its reply.
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
        """Lay an order ahead; return False if it is too large or the queue is full."""
        if len(order) > _LARGEST:
            return False
        try:
            self._put_end.send(order)
        except OSError:
            return False
        return True

    def take_back(self) -> set[int]:
        """Remove all orders that the worker has not taken; return their numbers.

        Orders that the worker has taken and given back are among them.
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

    An order on the channel was sent while the worker had nothing to do. So it is older
    than the orders in the prefetch queue, and is done first. The loop may take a packet
    back, send its order on the channel, and put another packet in its place, all before
    the worker reads. So the reader looks at the channel once more after it has read a
    packet. If an order is there, the packet goes back to the loop, which assigns it anew:
    behind a long task the packet would be stuck. The worker may then do the next packet
    before the loop has seen that one is back: ``Prefetched.answers`` knows that.

    Args:
        channel: to the dispatcher.
        prefetch: the worker's end of its prefetch queue, where it has one.
    """

    def __init__(
        self, channel: socket.socket, prefetch: Sequence[socket.socket]
    ) -> None:
        self._channel = channel
        self._number = channel.fileno()
        self._prefetch = prefetch[0] if prefetch else None
        self._poll = select.poll()
        self._seen: Sequence[tuple[int, int]] = ()  # by `look`, and not used yet
        for sock in (channel, *prefetch):
            self._poll.register(sock, select.POLLIN)

    def look(self) -> bool:
        """Return whether an order is there, so that ``take`` need not wait for one."""
        self._seen = self._poll.poll(0)
        return bool(self._seen)

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
        seen, self._seen = self._seen or self._poll.poll(timeout), ()
        return self._number in dict(seen)
