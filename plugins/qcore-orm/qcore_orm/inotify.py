"""Linux tells when a file is written to; Python's library does not pass it on.

https://man7.org/linux/man-pages/man7/inotify.7.html
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
from collections.abc import Iterable

# <sys/inotify.h>
IN_MODIFY, IN_IGNORED = 0x0002, 0x8000
# struct inotify_event without a name, as events of a watched file have none:
# watch descriptor, mask, cookie, length of the name
EVENT = struct.Struct("iIII")
#: Bytes of one reading; more events than these wait for the next.
READ = 4096


class FileEvents:
    """Writes to a few files, by any process of this machine.

    Args:
        paths: files that exist; one that is deleted later makes this ``stale``.

    Raises:
        OSError: the system has no inotify, or no more of it for this user.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        if sys.platform != "linux":
            raise OSError("inotify is a part of Linux")
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _error("inotify_init1")
        self.stale = False
        for path in paths:
            if libc.inotify_add_watch(self._fd, os.fsencode(path), IN_MODIFY) < 0:
                error = _error(path)
                self.close()
                raise error

    def wait(self, seconds: float) -> bool:
        """Return True as soon as a file has been written to; forget all writes so far."""
        readable = select.select([self._fd], [], [], seconds)[0]
        if readable:
            self.drain()
        return bool(readable)

    def drain(self) -> bool:
        """Forget all writes so far, and return whether there were any."""
        found = False
        while True:
            try:
                events = os.read(self._fd, READ)
            except BlockingIOError:
                return found
            found = True
            masks = [mask for _, mask, _, _ in EVENT.iter_unpack(events)]
            self.stale = self.stale or any(mask & IN_IGNORED for mask in masks)

    def close(self) -> None:
        """Give the descriptor back; safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
