"""Entries that somebody puts into a queue in Redis by hand, each with a mark of its own."""

from __future__ import annotations

import re
from collections.abc import Callable

import redis

from qcore.models import Quarantine
from qcore.runtime import current
from qcore.tasks.calls import build

_MARK = re.compile(rb"malformed \d{5}\.")


class Malformed:
    """Puts them there, and finds them in quarantine.

    Args:
        queue: name of the queue.
        port: of its server.
    """

    def __init__(self, queue: str, port: int) -> None:
        self.put: list[str] = []
        self._queue, self._port = queue, port
        self._tag = f"{{qcore:{queue}}}"
        self._forms: list[Callable[[redis.Redis, bytes], object]] = [
            lambda client, mark: self._add(client, p=mark),
            lambda client, mark: self._add(client, p=mark, n=b"abc"),
            lambda client, mark: self._add(client, n=b"9" * 5000, p=mark),
            lambda client, mark: self._add(client, task=b"mail", to=mark),
            lambda client, mark: self._add(client, p=_changed(queue) + mark),
            lambda client, mark: self._add(client, p=b"\x00\xff" * 20_000 + mark),
            self._park,
        ]

    def add(self) -> None:
        """Put one of each form there."""
        with redis.Redis(port=self._port) as client:
            for form in self._forms:
                mark = f"malformed {len(self.put):05}."
                form(client, mark.encode())
                self.put.append(mark)

    def found(self) -> list[str]:
        """Return what is in quarantine: marks, or who else is there."""
        rows = Quarantine.objects.filter(queue=self._queue)
        return [self._mark_of(row) for row in rows]

    def _mark_of(self, row: Quarantine) -> str:
        found = _MARK.search(bytes(row.package))
        return found[0].decode() if found else f"{row.reason}: {row.first_bytes()}"

    def _add(self, client: redis.Redis, **fields: bytes) -> None:
        client.xadd(f"{self._tag}:tasks", fields)

    def _park(self, client: redis.Redis, mark: bytes) -> None:
        client.hset(f"{self._tag}:parked", mark, mark)
        client.zadd(f"{self._tag}:due", {mark: 1})


def _changed(queue: str) -> bytes:
    """Return a package whose signature is not that of what it has."""
    return current.signer.sign(build("chores.mixed.work", ("never", 0), cluster=queue))
