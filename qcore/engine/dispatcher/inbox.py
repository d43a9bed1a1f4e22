"""Runs in: the dispatcher. The way into its loop, from any of its threads."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable

from .job import Job


class Inbox:
    """Jobs for the loop, and a socket that wakes it."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._end, self._wake = socket.socketpair()
        self._end.setblocking(False)
        self._wake.setblocking(False)

    def put(self, job: Job) -> None:
        """Hand one job over."""
        self._jobs.append(job)
        self.wake()

    def add(self, jobs: Iterable[Job]) -> None:
        """Hand several jobs over; the loop is to be woken afterwards."""
        self._jobs.extend(jobs)

    def wake(self) -> None:
        """Wake the loop."""
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            return  # it has more than enough to wake for

    def take(self) -> list[Job]:
        """Return what has come; for the loop."""
        taken = []
        while self._jobs:
            taken.append(self._jobs.popleft())
        return taken

    def __len__(self) -> int:
        """Return how many jobs wait to be taken."""
        return len(self._jobs)

    def fileno(self) -> int:
        """What the loop selects on."""
        return self._end.fileno()

    def drain(self) -> None:
        """Forget that the loop was to be woken: it is awake."""
        self._end.recv(4096)
