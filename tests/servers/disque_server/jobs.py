"""A job, its id, and how both are told to clients."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass

from .wire import NULL_BULK, Refusal, Reply, Simple

_ID = re.compile(rb"D-[0-9a-f]{8}-[A-Za-z0-9+/]{24}-[0-9a-f]{4}")


def new_id(node_id: str, ttl: int, retry: int) -> bytes:
    """Return an id of 40 bytes; its last digits are the TTL and the guarantee."""
    minutes = min(ttl // 60, 0xFFFF)
    minutes = minutes | 1 if retry else minutes & ~1
    middle = base64.b64encode(secrets.token_bytes(18)).decode()
    return f"D-{node_id[:8]}-{middle}-{minutes:04x}".encode()


def check_ids(ids: list[bytes]) -> None:
    """Refuse all of them when one is no id."""
    if not all(_ID.fullmatch(id) for id in ids):
        raise Refusal("BADID Invalid Job ID format.")


@dataclass(slots=True)
class Job:
    """One job; times are milliseconds since the epoch unless said otherwise."""

    id: bytes
    queue: bytes
    body: bytes
    created_ns: int  # unique and ascending on one node
    delay: int  # seconds
    retry: int  # seconds; 0: it is delivered at most once
    ttl: int  # seconds
    expires: int
    requeue: int | None  # when it goes (back) to its queue
    serial: int = 0
    is_queued: bool = False
    was_queued: bool = False
    nacks: int = 0
    additional: int = 0

    @property
    def state(self) -> str:
        return "queued" if self.is_queued else "active"

    @property
    def awake(self) -> int:
        """When something is to be done about it."""
        return self.expires if self.requeue is None else min(self.expires, self.requeue)

    def deliver(self, *, counters: bool, as_words: bool) -> list[Reply]:
        """Return it as GETJOB hands it out; ``as_words``: the names are no bulks."""
        reply: list[Reply] = [self.queue, self.id, self.body]
        if counters:
            names = ("nacks", "additional-deliveries")
            nacks, additional = (Simple(n) if as_words else n.encode() for n in names)
            reply += [nacks, self.nacks, additional, self.additional]
        return reply

    def show(self, now: int, node_id: str) -> list[Reply]:
        """Return it as SHOW describes it."""
        requeue = NULL_BULK if self.requeue is None else max(0, self.requeue - now)
        fields: dict[str, Reply] = {
            "id": self.id,
            "queue": self.queue,
            "state": self.state.encode(),
            "repl": 1,
            "ttl": max(0, self.expires - now) // 1000,
            "ctime": self.created_ns,
            "delay": self.delay,
            "retry": self.retry,
            "nacks": self.nacks,
            "additional-deliveries": self.additional,
            "nodes-delivered": [node_id.encode()],
            "nodes-confirmed": [],
            "next-requeue-within": requeue,
            "next-awake-within": max(0, self.awake - now),
            "body": self.body,
        }
        return [word for pair in fields.items() for word in (pair[0].encode(), pair[1])]
