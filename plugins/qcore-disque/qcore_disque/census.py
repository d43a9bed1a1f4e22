"""Jobs found by looking through whole nodes: for counting them and for purging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .job import Job

if TYPE_CHECKING:
    from .connection import Connection

# Jobs that a node looks at in one call; it serves nobody else meanwhile.
_STEP = 1000


class Counts(NamedTuple):
    """How many packages wait, and how many are claimed."""

    waiting: int
    claimed: int


def count(connections: Iterable[Connection], queue: str, *, copies: bool) -> Counts:
    """Count the jobs of a queue over nodes, each job once.

    A job waits on one node; the copies of it on other nodes are "active", and so are
    jobs that are delayed.

    Args:
        connections: one to each node.
        queue: its name.
        copies: whether there may be such copies; looking for them costs a call per
            thousand jobs.
    """
    waiting = 0
    active: dict[bytes, bool] = {}  # id -> whether it is delayed
    queued: set[bytes] = set()
    for connection in connections:
        (seconds, micros), length = connection.ask(("TIME",), ("QLEN", queue))
        now = int(seconds) + int(micros) / 1e6
        waiting += length
        words = ("QUEUE", queue, "STATE", "active", "REPLY", "all")
        for job in map(Job.shown, _scan(connection, *words)):
            active[job.id] = job.is_delayed(now)
        if copies:
            queued.update(_scan(connection, "QUEUE", queue, "STATE", "queued"))
    held = {id: delayed for id, delayed in active.items() if id not in queued}
    delayed = sum(held.values())
    return Counts(waiting + delayed, len(held) - delayed)


def find(connection: Connection, queue: str) -> list[bytes]:
    """Return the ids of all jobs of a queue that one node knows and that are not over."""
    words = ("QUEUE", queue, "STATE", "queued", "STATE", "active")
    return list(dict.fromkeys(_scan(connection, *words)))


def _scan(connection: Connection, *words: str) -> Iterator[Any]:
    cursor = b"0"
    while True:
        (reply,) = connection.ask(("JSCAN", cursor, "COUNT", _STEP, *words))
        cursor, found = reply
        yield from found
        if cursor == b"0":
            return
