"""What fits into one request."""

from __future__ import annotations

from qcore.brokers.tools import base64_bytes, base64_room

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
    return base64_room(request_bytes - 2 * FRAME_BYTES)


def request_room(package_bytes: int) -> int:
    """Return the bytes that a request may have where packages have up to so many."""
    needed = base64_bytes(package_bytes) + 2 * FRAME_BYTES
    return min(max(needed, MIN_REQUEST), MAX_REQUEST)


def message_bytes(package: bytes) -> int:
    """Return the bytes that a package takes of a request."""
    return base64_bytes(len(package)) + FRAME_BYTES
