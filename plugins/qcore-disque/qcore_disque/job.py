"""A job as a node hands it out, as a node describes it, and the receipt for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .body import unwrap

if TYPE_CHECKING:
    from qcore.brokers.addresses import Address


class Receipt(NamedTuple):
    """What tells one delivery of a job from the others.

    It belongs to the job: any node that knows the job can judge it. The address is
    only where to ask first.
    """

    id: bytes
    returns: int  # how often the job had gone back to its queue before
    address: Address


@dataclass(frozen=True, slots=True)
class Job:
    """The part of a reply of GETJOB or SHOW that matters to a queue."""

    id: bytes
    queue: bytes
    body: bytes
    returns: int  # times it went back to its queue: released, or its lease was over
    state: bytes = b"active"
    created: float = 0.0  # seconds since the epoch, by the clock of its first node
    delay: int = 0  # seconds
    requeue: float | None = None  # seconds until it goes back to its queue, if it does

    @classmethod
    def claimed(cls, reply: list[Any]) -> Job:
        """Read one job of a reply to ``GETJOB ... WITHCOUNTERS``."""
        queue, id, body, *counters = reply
        # Bytes in any case: Disque sends the names as bulks, its module as words.
        counts = dict(zip(counters[::2], counters[1::2], strict=True))
        returns = counts[b"nacks"] + counts[b"additional-deliveries"]
        return cls(id, queue, body, returns)

    @classmethod
    def shown(cls, reply: list[Any]) -> Job:
        """Read a reply to ``SHOW``, or one job of ``JSCAN ... REPLY all``."""
        said = dict(zip(reply[::2], reply[1::2], strict=True))
        requeue = said[b"next-requeue-within"]
        return cls(
            id=said[b"id"],
            queue=said[b"queue"],
            body=said[b"body"],
            returns=said[b"nacks"] + said[b"additional-deliveries"],
            state=said[b"state"],
            created=said[b"ctime"] / 1e9,  # nanoseconds
            delay=said[b"delay"],
            requeue=None if requeue is None else requeue / 1000,
        )

    @property
    def package(self) -> bytes:
        """What was enqueued."""
        return unwrap(self.body)[0]

    @property
    def attempt(self) -> int:
        """The number of its present delivery, from 1."""
        return unwrap(self.body)[1] + self.returns + 1

    def is_held_by(self, receipt: Receipt) -> bool:
        """Whether the receipt's delivery is still the latest and not given up."""
        return self.state == b"active" and self.returns == receipt.returns

    def is_delayed(self, now: float) -> bool:
        """Whether it has not been in its queue yet; ``now`` is seconds since the epoch."""
        return self.returns == 0 and self.created + self.delay > now
