"""Packages as a later release of qcore would write them."""

from __future__ import annotations

from qcore.signing import Signer

#: A version that this release does not know.
VERSION = 9


def of_a_later_release(package: bytes, signer: Signer) -> bytes:
    """Return a package with the version of a later release, signed with our key."""
    head, payload = package[:2] + bytes([VERSION]) + package[3:4], package[36:]
    return head + signer._macs[0].of(head + payload) + payload
