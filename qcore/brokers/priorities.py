"""Sending by priority: each priority in a call of its own, where the broker has any."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from ..errors import BrokerError, NoReply
from ..signing import peek

if TYPE_CHECKING:
    from .base import Broker


def enqueue_packages(broker: Broker, packages: Sequence[bytes]) -> None:
    """Send packages of which only the bytes are at hand, each with its own priority.

    Raises:
        BrokerError: as ``Broker.enqueue_many``, about all packages.
    """
    if broker.supports_priority:
        entries = [(peek(package).priority, package) for package in packages]
        enqueue_by_priority(broker, entries)
    else:
        broker.enqueue_many(packages)


def enqueue_by_priority(
    broker: Broker, entries: Sequence[tuple[int, bytes]], *, delay: float = 0
) -> None:
    """Send packages in their order, those of one priority after the other in one call.

    A broker without ``supports_priority`` gets all of them in one call: the cluster that
    claims them reads the priority in the package.

    Args:
        broker: where they go.
        entries: the priority and the package of each.
        delay: seconds before they may be claimed.

    Raises:
        BrokerError: as ``Broker.enqueue_many``, about all entries.
    """
    options = {"delay": delay} if delay else {}
    if not broker.supports_priority or not any(priority for priority, _ in entries):
        broker.enqueue_many([package for _, package in entries], **options)
        return
    stored = 0
    for priority, group in groupby(entries, key=itemgetter(0)):
        packages = [package for _, package in group]
        try:
            if priority:
                broker.enqueue_with_priority(packages, priority, **options)
            else:
                broker.enqueue_many(packages, **options)
        except BrokerError as error:
            error.stored += stored
            if isinstance(error, NoReply) and not error.unsure:
                error.unsure = len(packages)
            raise
        stored += len(packages)
