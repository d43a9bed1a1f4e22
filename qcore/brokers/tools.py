"""Tools that brokers share: parts of a call, time limits, texts, and malformed entries.

For authors of brokers. These tools know no service.
"""

from __future__ import annotations

import binascii
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..errors import BrokerError, NoReply, Unsupported

if TYPE_CHECKING:
    from .base import Broker

T = TypeVar("T")
Id = TypeVar("Id", bound=Hashable)

#: The highest number of attempts that is believed: every store and every service has
#: room for it, and for some more. A higher one was not counted by a broker.
MOST_ATTEMPTS = 1_000_000_000

#: Seconds that a reply may take where the caller of ``async_task`` waits for it: a web
#: request must not hang because the service does.
CALLER_REPLY_SECONDS = 1.5
#: The least and the most seconds that a reply may take where a cluster waits for it.
CLUSTER_REPLY_SECONDS = (2.0, 15.0)
#: Bytes a second that even a slow network carries to a service, and so the time that a
#: reply may take longer where a call sends many.
SLOW_BYTES_PER_SECOND = 1_000_000
#: Bytes of a call from which its size counts for the time that the reply may take.
LARGE_CALL_BYTES = 256 * 1024
#: Seconds before the second and the third try of a call that a busy service has not done.
#: With these pauses a web request still learns within two seconds that a task is not sent.
RETRY_PAUSES = (0.1, 0.3)


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


def cluster_reply_seconds(
    lease: float, *, share: float = 1 / 2, longest: float = CLUSTER_REPLY_SECONDS[1]
) -> float:
    """Return the seconds that a reply may take where a cluster waits for it.

    A cluster would rather wait than fail. It waits for a part of the lease, and so it can
    still act before the lease is over.

    Args:
        lease: seconds for which a claim holds.
        share: the part of the lease.
        longest: seconds at most; at least 2 s are allowed, however short the lease is.
    """
    return min(max(lease * share, CLUSTER_REPLY_SECONDS[0]), longest)


def long_poll_seconds(wanted: int, lease: float, longest: int) -> int:
    """Return the whole seconds for which one call may wait at the service for a package.

    It is half a lease at most, but at least 1 s: a package that comes late in the call
    has its lease counted from the beginning of the call.

    Args:
        wanted: whole seconds that the caller wants to wait.
        lease: seconds for which a claim holds.
        longest: whole seconds that the service allows.
    """
    return min(wanted, longest, max(1, int(lease / 2)))


def try_again(work: Callable[[], T], passing: type[Exception]) -> T:
    """Return the result of ``work``, after up to two more tries (see ``RETRY_PAUSES``).

    Args:
        work: one call of the service.
        passing: the error that says that the service has done nothing of the call and may
            do the call in a moment. It is raised when the last try fails, too.
    """
    for pause in RETRY_PAUSES:
        try:
            return work()
        except passing:
            time.sleep(pause)
    return work()


def too_long(broker: Broker, what: str, seconds: float, limit: int) -> Unsupported:
    """Return the error for a delay that is longer than the service allows.

    Args:
        broker: its class and its ``info_name()`` stand in the message.
        what: what the broker cannot do, such as ``"delay a package"``.
        seconds: the delay that was wanted.
        limit: seconds that the service allows.
    """
    return Unsupported(
        f"{type(broker).__name__} cannot {what} for {seconds:,.0f} s: the limit of"
        f" {broker.info_name()} is {limit:,} s. Use a schedule for a later time."
    )


def to_base64(package: bytes) -> str:
    """Return a package as a text, for a service that takes texts only."""
    return b64encode(package).decode()


def from_base64(found: object) -> bytes:
    """Return the package of a text; a malformed text as ``as_package`` does."""
    if not isinstance(found, str | bytes):
        return as_package(found)
    try:
        return b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        return as_package(found)


def base64_bytes(size: int) -> int:
    """Return the bytes of the text of a package that has ``size`` bytes."""
    return -(-size // 3) * 4


def base64_room(size: int) -> int:
    """Return the bytes of the largest package whose text has up to ``size`` bytes."""
    return size // 4 * 3


def as_package(found: object) -> bytes:
    """Return the content of an entry as bytes, also where the entry is no package.

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


def placeholders(values: Sequence[object]) -> str:
    """Return a place in a statement for each of some values: ``%s, %s``."""
    return ", ".join(["%s"] * len(values))
