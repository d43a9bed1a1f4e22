"""Many become batches that SQS takes: ten entries, so many bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from .options import MAX_BATCH

T = TypeVar("T")


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items in order, ten at a time."""
    for start in range(0, len(items), MAX_BATCH):
        yield items[start : start + MAX_BATCH]


def pack(bodies: Sequence[str], most: int) -> Iterator[list[str]]:
    """Yield ASCII texts in order, in batches of up to ten and up to ``most`` bytes.

    A text that alone has more is a batch of its own.
    """
    batch: list[str] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == MAX_BATCH or size + len(body) > most):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch
