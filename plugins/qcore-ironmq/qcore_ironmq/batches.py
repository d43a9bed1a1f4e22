"""What fits into one request."""

from __future__ import annotations

#: Messages that one call may post, reserve or delete.
MAX_BATCH = 100
#: Bytes of the larger of the plans; a message counts with the request around it.
MAX_REQUEST = 262_144
#: Of the smaller plan, which every installation takes.
MIN_REQUEST = 65_536
#: What stands around the bodies: {"messages": []} and {"body": "", "delay": 604800}, .
FRAME_BYTES = 64


def package_room(request_bytes: int) -> int:
    """Return the bytes of the largest package whose base64 fits into a request."""
    return (request_bytes - 2 * FRAME_BYTES) // 4 * 3


def request_room(package_bytes: int) -> int:
    """Return the bytes that a request may have where packages have up to so many."""
    needed = -(-package_bytes // 3) * 4 + 2 * FRAME_BYTES
    return min(max(needed, MIN_REQUEST), MAX_REQUEST)


def message_bytes(package: bytes) -> int:
    """Return the bytes that a package takes of a request."""
    return -(-len(package) // 3) * 4 + FRAME_BYTES
