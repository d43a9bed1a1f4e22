"""Claiming from the queues of the bands: one look says which of them has anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from . import scripts
from .entries import GROUP
from .errors import NoGroup

if TYPE_CHECKING:
    from qcore.envelope import Delivery

    from .broker import RedisBroker
    from .connection import Connection


def claim(
    connection: Connection, consumer: str, bands: Sequence[RedisBroker], limit: int
) -> Iterator[tuple[int, list[Delivery]]]:
    """Yield what is claimed of each band, with the place of the band.

    What a sweep finds is looked for as often as in one queue, and before the answer is
    that nothing waits.
    """
    waiting = _look(connection, consumer, bands)
    room, quiet = limit, []
    for place, band in enumerate(bands):
        claims = []
        if band.is_sweep_due:
            claims.append(band.sweep)
        else:
            quiet.append((place, band))
        if waiting[place]:
            claims.append(band.read_new)
        for one in claims:
            if room > 0 and (found := one(room)):
                room -= len(found)
                yield place, found
    for place, band in quiet:
        if room == limit and (found := band.sweep(limit)):
            room -= len(found)
            yield place, found


def _look(
    connection: Connection, consumer: str, bands: Sequence[RedisBroker]
) -> list[bool]:
    """Return of each band whether it has packages that nobody has had."""
    keys = [key for one in bands for key in one.looked_at]
    words = (GROUP, consumer)
    try:
        found = connection.run(scripts.LOOK, keys, *words)
    except NoGroup:
        for one in bands:
            one.create_group()
        found = connection.run(scripts.LOOK, keys, *words)
    for band, (_, is_woken) in zip(bands, found, strict=True):
        if is_woken:
            band.sweep_next()
    return [bool(is_waiting) for is_waiting, _ in found]
