"""Runs in: the dispatcher's loop, and workers. Orders laid out for a worker that is busy.

A worker that ends a short task finds its next order here, and need not wait for the loop
to be woken, to read its reply and to send one. Nothing is stranded here behind a task
that turns out to be long: what the worker has not begun can be taken back. Each order
is one packet, and the kernel gives a packet to one reader only, be it the worker or the
loop, which holds the worker's end as well; so neither has to ask the other, and either
may be killed at any moment. The worker may take a packet between two that the loop takes
back, so each has a number, and the loop knows which of them it has got.

Systems whose local sockets have no packets (macOS) have no trays: there a worker gets
its next order when its reply has been read.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Sequence

from .link import read_frame

#: Bytes of the largest order on a tray. A packet has to fit into the socket's buffer
#: (212,992 bytes by default on Linux) beside others.
_LARGEST = 32 * 1024
#: Before each order: which one it is of those that were laid on this tray.
NUMBER = struct.Struct("=Q")


def make_pair() -> tuple[socket.socket, ...]:
    """Return the loop's end and the worker's end; nothing where there are no packets."""
    try:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        return ()


class Tray:
    """The tray of one worker, as the loop has it.

    Args:
        lay_end: what orders are sent into.
        take_end: the worker's end of it.
    """

    __slots__ = ("_laid", "_lay_end", "_take_end")

    def __init__(self, lay_end: socket.socket, take_end: socket.socket) -> None:
        # one flag for all who hold an end: the worker asks before it reads
        lay_end.setblocking(False)
        take_end.setblocking(False)
        self._lay_end = lay_end
        self._take_end = take_end
        self._laid = 0

    def lay(self, order: bytes) -> int:
        """Lay an order on top, and return its number here, from 1.

        Returns 0 where it is too large, or the tray is full.
        """
        if len(order) > _LARGEST:
            return 0
        number = self._laid + 1
        try:
            self._lay_end.send(NUMBER.pack(number) + order)
        except OSError:
            return 0
        self._laid = number
        return number

    def take_back(self) -> set[int]:
        """Remove all that the worker has not taken; return the numbers of these orders."""
        numbers: set[int] = set()
        while True:
            try:
                # the rest of a packet goes with its first bytes
                head = self._take_end.recv(NUMBER.size)
            except BlockingIOError:
                return numbers
            numbers.add(NUMBER.unpack(head)[0])

    def close(self) -> None:
        """Close both ends."""
        self._lay_end.close()
        self._take_end.close()


class Intake:
    """Where a worker's orders come from.

    What is on the link was sent while the worker had nothing to do, so it is older than
    anything on the tray.

    Args:
        link: to the dispatcher.
        tray: the worker's end of its tray, where it has one.
    """

    def __init__(self, link: socket.socket, tray: Sequence[socket.socket]) -> None:
        self._link = link
        self._tray = tray[0] if tray else None
        self._poll = select.poll()
        for sock in (link, *tray):
            self._poll.register(sock, select.POLLIN)

    def take(self) -> bytes | None:
        """Return the next order, waiting for it; None when the dispatcher has gone."""
        while self._tray is not None:
            came = self._poll.poll()
            if any(fd == self._link.fileno() for fd, _ in came):
                break
            try:
                order = self._tray.recv(NUMBER.size + _LARGEST)
            except BlockingIOError:
                continue  # it was taken back in between
            if order:
                return order[NUMBER.size :]
            # its other end is closed: the link says what that means
            self._poll.unregister(self._tray)
            self._tray = None
        return read_frame(self._link)
