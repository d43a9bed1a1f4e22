"""Entries of a stream: what they say of a delivery."""

from __future__ import annotations

from qcore.brokers.tools import as_attempt
from qcore.envelope import Delivery

#: The group of consumers that all clusters are: what one has claimed, no other gets.
GROUP = "clusters"


def delivery_of(
    id: bytes, count: int, fields: list[bytes], lease_end: float
) -> Delivery:
    """Return an entry as a delivery: p, package[, n, the attempts before it was parked].

    One that somebody has added by hand may have other fields. Where none of them is the
    package all are, and the dispatcher puts them into quarantine.
    """
    if len(fields) == 2 and fields[0] == b"p":
        return Delivery((id, count), fields[1], count, lease_end)
    # from the end, so that of two fields with one name the first counts, as in scripts
    said = dict(zip(fields[-2::-2], fields[::-2], strict=True))
    package = said.get(b"p", b"\n".join(fields))
    before = said.get(b"n", b"0")
    attempts = int(before) if before.isdigit() and len(before) <= 10 else 0
    return Delivery((id, count), package, as_attempt(attempts + count), lease_end)


def is_entry(id: str) -> bool:
    """Whether an id is one of a stream, ``1763912345678-0``; Redis refuses others."""
    return all(part.isdigit() for part in id.split("-"))
