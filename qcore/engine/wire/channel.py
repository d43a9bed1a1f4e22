"""Runs in: every process. Frames over a socket: four bytes of length, then the payload."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
import termios
from collections import deque
from collections.abc import Sequence

_LENGTH = struct.Struct("!I")
#: Bytes of one read. Much more would be asked of the system anew for each read, and given
#: back after it (M_MMAP_THRESHOLD).
_CHUNK = 32 * 1024


class ChannelClosed(Exception):
    """The process at the other end has closed the socket, or died."""


class Channel:
    """One end of a socket that never blocks; for an event loop.

    File descriptors travel with a frame: they are queued in the order in which they
    were sent.
    """

    __slots__ = ("_in", "_out", "fds", "sock")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fds: deque[int] = deque()
        self._in = bytearray()
        self._out = bytearray()

    def send(self, payload: bytes, fds: Sequence[int] = ()) -> bool:
        """Send as much of a frame as the socket takes; return whether all has left.

        Raises:
            ChannelClosed: nobody is at the other end.
        """
        frame = _LENGTH.pack(len(payload)) + payload
        if self._out and not self.flush():
            if fds:
                raise ChannelClosed(
                    "nobody has read for long; a descriptor cannot wait"
                )
            self._out += frame
            return False
        if fds:
            self._send_fds(frame, fds)
            return True
        sent = self._write(frame)
        if sent < len(frame):
            self._out += memoryview(frame)[sent:]
            return False
        return True

    def is_unread(self) -> bool:
        """Whether the other end has unread bytes; False where the system does not tell."""
        if self._out:
            return True
        unread = array.array("i", [0])
        try:
            fcntl.ioctl(self.sock, termios.TIOCOUTQ, unread)
        except OSError:  # a system that does not tell
            return False
        return unread[0] > 0

    def flush(self) -> bool:
        """Send more of what is left over; return whether nothing is left now."""
        sent = self._write(self._out)
        del self._out[:sent]
        return not self._out

    def _write(self, data: bytes | bytearray) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def _send_fds(self, frame: bytes, fds: Sequence[int]) -> None:
        try:
            socket.send_fds(self.sock, [frame], fds)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> list[bytes]:
        """Return the complete frames that have come; ``[]`` when none has yet.

        Raises:
            ChannelClosed: nobody is at the other end, and no complete frame is left.
        """
        try:
            data = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        return self._frames(data)

    def last_words(self) -> list[bytes]:
        """Return the frames that a process which has died left behind.

        Its socket may still be open: a process that it forked has the other end, too.
        """
        frames: list[bytes] = []
        while True:
            try:
                data = self.sock.recv(_CHUNK)
            except OSError:  # nothing more will come
                return frames
            if not data:
                return frames
            frames += self._frames(data)

    def receive_with_fds(self) -> list[bytes]:
        """Return frames as ``receive`` does, and collect descriptors in ``fds``."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, _CHUNK, 16)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        self.fds.extend(fds)
        return self._frames(data)

    def _frames(self, data: bytes) -> list[bytes]:
        if not data:
            raise ChannelClosed("the other end has gone")
        buffer = self._in
        if not buffer and len(data) >= 4:
            # nearly always: one whole frame and nothing else
            (length,) = _LENGTH.unpack_from(data)
            if len(data) == length + 4:
                return [data[4:]]
        buffer += data
        frames: list[bytes] = []
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if len(buffer) - start - 4 < length:
                break
            frames.append(bytes(buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        del buffer[:start]
        return frames

    def take_sockets(self, count: int) -> list[socket.socket]:
        """Return the ``count`` descriptors that came with a frame, as sockets.

        Returns ``[]`` if fewer descriptors came: the kernel drops a descriptor when this
        process has no number left for it.
        """
        if len(self.fds) < count:
            while self.fds:
                os.close(self.fds.popleft())
            return []
        return [socket.socket(fileno=self.fds.popleft()) for _ in range(count)]

    def fileno(self) -> int:
        """The socket's descriptor, for selectors."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close the socket and any descriptor that nobody has taken."""
        self.sock.close()
        while self.fds:
            os.close(self.fds.popleft())


def write_frame(sock: socket.socket, payload: bytes) -> None:
    """Send a frame over a blocking socket."""
    if len(payload) < _CHUNK:
        sock.sendall(_LENGTH.pack(len(payload)) + payload)
    else:  # no copy of something large
        sock.sendall(_LENGTH.pack(len(payload)))
        sock.sendall(payload)


def read_frame(sock: socket.socket) -> bytes | None:
    """Return the next frame of a blocking socket, or None when the other end has gone."""
    data = sock.recv(_CHUNK)
    if len(data) >= 4:
        (length,) = _LENGTH.unpack_from(data)
        if len(data) == length + 4:
            return data[4:]
    buffer = bytearray(data)
    while data:
        if len(buffer) >= 4:
            (length,) = _LENGTH.unpack_from(buffer)
            if len(buffer) == length + 4:
                return bytes(memoryview(buffer)[4:])
        data = sock.recv(_CHUNK)
        buffer += data
    return None
