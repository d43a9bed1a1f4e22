"""Tools that brokers share: batches, time limits, and malformed entries.

For authors of brokers. These tools know no service.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from ..errors import BrokerError, NoReply

T = TypeVar("T")
Id = TypeVar("Id", bound=Hashable)

#: The highest number of attempts that is believed: every store and every service has
#: room for it, and for some more. A higher one was not counted by a broker.
MOST_ATTEMPTS = 1_000_000_000

#: Bytes a second that even a slow network carries to a service, and so the time that a
#: reply may take longer where a call sends many.
SLOW_BYTES_PER_SECOND = 1_000_000


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in order, in parts of up to ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def pack(
    items: Sequence[T],
    *,
    count: int,
    size: int,
    measure: Callable[[T], int] = len,  # type: ignore[assignment]
) -> Iterator[list[T]]:
    """Yield the items in order, in parts of up to ``count`` items and ``size`` bytes.

    An item that alone has more bytes is a part of its own.

    Args:
        items: packages, or what has become of them.
        count: items in a part at most.
        size: bytes in a part at most.
        measure: returns the bytes of an item, frame included.
    """
    part: list[T] = []
    total = 0
    for item in items:
        needed = measure(item)
        if part and (len(part) == count or total + needed > size):
            yield part
            part, total = [], 0
        part.append(item)
        total += needed
    if part:
        yield part


def by_attempt(
    receipts: Sequence[tuple[Id, int]], size: int
) -> Iterator[tuple[int, Sequence[Id]]]:
    """Yield each attempt with up to ``size`` ids; nearly always all are first attempts.

    Args:
        receipts: of deliveries, each as (id, attempt).
        size: ids in one part at most.
    """
    ids: dict[int, dict[Id, None]] = defaultdict(dict)
    for id, attempt in receipts:
        ids[attempt][id] = None
    for attempt, those in ids.items():
        for part in chunks(list(those), size):
            yield attempt, part


def send_parts(
    parts: Iterable[Sequence[bytes]], send: Callable[[Sequence[bytes]], list[str]]
) -> list[str]:
    """Send packages part by part; an error says how many packages are stored.

    Args:
        parts: the packages, in parts that the service takes in one call.
        send: stores all packages of a part, or none, and returns their ids.

    Raises:
        BrokerError: as ``send``, with ``stored`` and ``unsure``.
    """
    ids: list[str] = []
    for part in parts:
        try:
            ids += send(part)
        except BrokerError as error:
            error.stored += len(ids)
            if isinstance(error, NoReply) and not error.unsure:
                error.unsure = len(part)
            raise
    return ids


def reply_seconds(base: float, sent_bytes: int) -> float:
    """Return the seconds that the reply to a call with ``sent_bytes`` may take.

    Args:
        base: seconds for a call that sends little.
        sent_bytes: the bytes of all packages of the call.
    """
    return base + sent_bytes / SLOW_BYTES_PER_SECOND


def as_package(found: object) -> bytes:
    """Return the content of an entry as the bytes of a package, whatever it is.

    A malformed entry may hold something other than bytes. The broker hands it out all the
    same: the signature check refuses it, and a person finds it in the quarantine.
    """
    if isinstance(found, bytes):
        return found
    if isinstance(found, bytearray | memoryview):
        return bytes(found)
    text = found if isinstance(found, str) else repr(found)
    # a text of JSON may hold halves of characters, which UTF-8 cannot tell
    return text.encode("utf-8", "surrogatepass")


def as_attempt(found: object) -> int:
    """Return the attempt that a service reports, or 1 if the count is not valid."""
    if not isinstance(found, int | float | str | bytes):
        return 1
    if isinstance(found, str | bytes) and len(found) > 20:
        return 1  # no count; Python refuses to read thousands of digits
    try:
        attempt = int(found)
    except (ValueError, OverflowError):
        return 1
    return min(max(1, attempt), MOST_ATTEMPTS)
