"""What fits into one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Messages that one call may post, reserve or delete.
MAX_BATCH = 100
#: Bytes of the larger of the plans; a message counts with the request around it.
MAX_REQUEST = 262_144
#: Of the smaller plan, which every installation takes.
MIN_REQUEST = 65_536
# What stands around the bodies: {"messages": []} and {"body": "", "delay": 604800}, .
_FRAME_BYTES = 64


def package_room(request_bytes: int) -> int:
    """Return the bytes of the largest package whose base64 fits into a request."""
    return (request_bytes - 2 * _FRAME_BYTES) // 4 * 3


def request_room(package_bytes: int) -> int:
    """Return the bytes that a request may have where packages have up to so many."""
    needed = -(-package_bytes // 3) * 4 + 2 * _FRAME_BYTES
    return min(max(needed, MIN_REQUEST), MAX_REQUEST)


def pack(bodies: Sequence[str], request_bytes: int) -> Iterator[list[str]]:
    """Split ASCII bodies, in order, into lists that fit into one request each."""
    batch: list[str] = []
    left = request_bytes - _FRAME_BYTES
    for body in bodies:
        needed = len(body) + _FRAME_BYTES
        if batch and (needed > left or len(batch) == MAX_BATCH):
            yield batch
            batch, left = [], request_bytes - _FRAME_BYTES
        batch.append(body)
        left -= needed
    if batch:
        yield batch


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split into parts that one call takes."""
    for start in range(0, len(items), MAX_BATCH):
        yield items[start : start + MAX_BATCH]
