"""A queue of SQS: found by its name, or made."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

from qcore.errors import BrokerError, BrokerUnavailable

from .connection import Connection
from .errors import NameTaken

logger = logging.getLogger("qcore.broker")

# Bytes of a message, and of all messages in a batch, that every version of SQS takes;
# AWS takes 1,048,576 since August 2025, and tells so in an attribute of the queue.
DOCUMENTED_BYTES = 262_144
# Of a queue that we make: 14 days, the longest; SQS's own four may pass in a holiday.
RETENTION_SECONDS = 1_209_600


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that is there."""

    url: str
    most: int
    """Bytes that one message may have."""


def find(connection: Connection, name: str) -> Queue:
    """Look a queue up.

    Raises:
        NoQueue: it is not there.
    """
    url = connection.call("get_queue_url", QueueName=name).get("QueueUrl")
    if not url:
        raise BrokerError(
            f"{connection.place} does not answer as SQS does. Check 'endpoint_url' of"
            " Q_CLUSTER['sqs']."
        )
    return Queue(url, _ask_most(connection, url))


def make(connection: Connection, name: str) -> Queue:
    """Make a queue, or find it where somebody else was faster."""
    kept = {"MessageRetentionPeriod": str(RETENTION_SECONDS)}
    with suppress(NameTaken):
        connection.call("create_queue", QueueName=name, Attributes=kept)
    return find(connection, name)


def attributes(connection: Connection, url: str) -> dict[str, int]:
    """Return those attributes of a queue that are numbers."""
    reply = connection.call(
        "get_queue_attributes", QueueUrl=url, AttributeNames=["All"]
    )
    found = reply.get("Attributes", {})
    return {name: int(text) for name, text in found.items() if text.isdigit()}


def _ask_most(connection: Connection, url: str) -> int:
    try:
        told = attributes(connection, url)
    except BrokerUnavailable:
        raise
    except BrokerError as error:  # the policy may forbid to ask
        logger.debug("the queue does not tell its MaximumMessageSize: %s", error)
        told = {}
    return told.get("MaximumMessageSize", DOCUMENTED_BYTES)
