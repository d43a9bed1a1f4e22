"""Runs in: the dispatcher's loop, and workers. Orders laid out for a worker that is busy.

A worker that ends a short task finds its next order here, and need not wait for the loop
to be woken, to read its reply and to send one. Nothing is stranded here behind a task
that turns out to be long: what the worker has not begun can be taken back. Each order
is one packet, and the kernel gives a packet to one reader only, be it the worker or the
loop, which holds the worker's end as well; so neither has to ask the other, and either
may be killed at any moment. The worker may take a packet between two that the loop takes
back, so each has a number, and the loop knows which of them it has got. A packet that the
worker has read and may not begin yet goes back the same way: the worker keeps nothing.

Systems whose local sockets have no packets (macOS) have no trays: there a worker gets
its next order when its reply has been read.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence

from .channel import read_frame
from .messages import HEAD_SIZE, number_of

#: Bytes of the largest order on a tray. A packet has to fit into the socket's buffer
#: (212,992 bytes by default on Linux) beside others.
_LARGEST = 32 * 1024


def make_pair() -> tuple[socket.socket, ...]:
    """Return the loop's end and the worker's end; nothing where there are no packets."""
    try:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        return ()


class PrefetchQueue:
    """The tray of one worker, as the loop has it.

    Args:
        lay_end: what orders are sent into.
        take_end: the worker's end of it.
    """

    __slots__ = ("_lay_end", "_take_end")

    def __init__(self, lay_end: socket.socket, take_end: socket.socket) -> None:
        # one flag for all who hold an end: the worker asks before it reads
        lay_end.setblocking(False)
        take_end.setblocking(False)
        self._lay_end = lay_end
        self._take_end = take_end

    def put(self, order: bytes) -> bool:
        """Lay an order on top; return False where it is too large, or the tray is full."""
        if len(order) > _LARGEST:
            return False
        try:
            self._lay_end.send(order)
        except OSError:
            return False
        return True

    def take_back(self) -> set[int]:
        """Remove all that the worker has not taken; return the numbers of these orders.

        What the worker has taken and given back is among them.
        """
        return _numbers(self._take_end) | _numbers(self._lay_end)

    def close(self) -> None:
        """Close both ends."""
        self._lay_end.close()
        self._take_end.close()


def _numbers(end: socket.socket) -> set[int]:
    """Remove all packets that can be read at one end; return the numbers of their orders."""
    numbers: set[int] = set()
    while True:
        try:
            # the rest of a packet goes with its head
            head = end.recv(HEAD_SIZE)
        except OSError:  # there is no more; or a task has broken the tray
            return numbers
        if len(head) < HEAD_SIZE:  # a task has shut the tray down, or written on it
            return numbers
        numbers.add(number_of(head))


class OrderReader:
    """Where a worker's orders come from.

    What is on the link was sent while the worker had nothing to do, so it is older than
    anything on the tray, and is done first. That holds also where the worker has seen a
    packet that the loop took back before it was read, sent on the link and laid another
    one in its place: so the link is looked at once more after a packet. If something is
    there, the packet goes back to the loop, which deals it anew: behind a long task it
    would be stranded here.

    Args:
        link: to the dispatcher.
        tray: the worker's end of its tray, where it has one.
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
        while self._prefetch is not None and not self._has_link(None):
            try:
                order = self._prefetch.recv(_LARGEST)
            except BlockingIOError:
                continue  # it was taken back in between
            if not order:
                # its other end is closed: the link says what that means
                self._poll.unregister(self._prefetch)
                self._prefetch = None
            elif not self._has_link(0):
                return order
            else:
                # the way back is empty, or has been read: a packet always has place
                self._prefetch.send(order)
                break
        return read_frame(self._channel)

    def _has_link(self, timeout: int | None) -> bool:
        """Wait for up to ``timeout`` ms; return whether something is on the link."""
        ready = self._poll.poll(timeout)
        return any(fd == self._channel.fileno() for fd, _ in ready)
