"""The append-only file: which jobs there are, not where they stand.

As in Disque, queues are not kept: after a restart all jobs are active, and those that
may be delivered again go back to their queues when their RETRY is over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .jobs import Job
from .wire import encode


class Journal:
    """Writes before a reply is sent, so that what was answered outlives a kill."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def added(self, job: Job) -> None:
        numbers = (job.created_ns, job.delay, job.retry, job.ttl, job.expires)
        words = [str(number).encode() for number in numbers]
        self._write([b"ADD", job.id, job.queue, job.body, *words])

    def removed(self, id: bytes) -> None:
        self._write([b"DEL", id])

    def emptied(self) -> None:
        os.ftruncate(self._file, 0)

    def _write(self, words: list[bytes]) -> None:
        data = encode(words)
        while data:
            data = data[os.write(self._file, data) :]

    def jobs(self, now: int) -> Iterator[Job]:
        """Read the jobs that are left, in the order of their creation."""
        left: dict[bytes, list[bytes]] = {}
        for words in _records(self._path.read_bytes()):
            if words[0] == b"ADD":
                left[words[1]] = words
            else:
                left.pop(words[1], None)
        for _, id, queue, body, *numbers in left.values():
            created, delay, retry, ttl, expires = map(int, numbers)
            due = created // 1_000_000 + delay * 1000
            was_queued = due <= now
            again = now + retry * 1000 if retry else None
            requeue = again if was_queued else due
            yield Job(
                id, queue, body, created, delay, retry, ttl, expires, requeue,
                was_queued=was_queued,
            )  # fmt: skip


def _records(data: bytes) -> Iterator[list[bytes]]:
    """Take the file apart; a record that a kill has cut off ends it."""
    at = 0
    while at < len(data):
        try:
            end = data.index(b"\r\n", at)
            count, at = int(data[at + 1 : end]), end + 2
            words = []
            for _ in range(count):
                end = data.index(b"\r\n", at)
                length, start = int(data[at + 1 : end]), end + 2
                if start + length + 2 > len(data):
                    return
                words.append(data[start : start + length])
                at = start + length + 2
        except ValueError:
            return
        yield words
