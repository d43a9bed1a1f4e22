"""What a server says of itself, and of a queue in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from .diagnosis import Facts
from .documents import ORDER

Queue = Collection[dict[str, Any]]


def version(queue: Queue) -> str:
    """Return ``8.2.11``; nothing where the server keeps it to itself.

    Raises:
        PyMongoError: the server is not there, or does not let the user in.
    """
    queue.database.command("ping")  # on which a wrong password is told as that
    try:
        return str(queue.database.client.server_info().get("version", ""))
    except OperationFailure:
        return ""


def clock(queue: Queue) -> float:
    """Return its time in seconds since the epoch."""
    return float(_hello(queue)["localTime"].replace(tzinfo=UTC).timestamp())


def has_index(indexes: Mapping[str, Any]) -> bool:
    """Whether the one that claims need is among them, under any name."""
    return any(index["key"] == ORDER for index in indexes.values())


def facts(queue: Queue, address: str) -> Facts:
    """Return what a diagnosis needs."""
    indexes = queue.index_information()
    return Facts(
        address=address,
        hello=_hello(queue),
        version=version(queue),
        concern=queue.write_concern.document,
        made=bool(indexes),
        indexed=has_index(indexes),
    )


def _hello(queue: Queue) -> dict[str, Any]:
    return queue.database.command("hello")
