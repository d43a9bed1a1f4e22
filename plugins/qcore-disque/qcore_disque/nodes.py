"""The nodes of the settings: one of them is used, and another when that fails."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qcore.errors import BrokerError, BrokerUnavailable

from .connection import Connection
from .errors import code

if TYPE_CHECKING:
    from qcore.brokers.addresses import Address

logger = logging.getLogger("qcore.broker")

# Seconds in which some node must be connected: a web request must learn within two
# that a task cannot be sent. The nodes share them; none gets less than the second.
CONNECT_SECONDS = 1.5
LEAST_CONNECT_SECONDS = 0.3
# Seconds for which a node that is not there is not looked for by the way.
ABSENT_SECONDS = 5.0


class Nodes:
    """Connections to several nodes, of which the first in a random order is in use.

    Args:
        addresses: of the nodes; at least one.
        password: of all of them.
        reply_seconds: how long a reply may take.
    """

    def __init__(
        self, addresses: Sequence[Address], password: str | None, reply_seconds: float
    ) -> None:
        self.reply_seconds = reply_seconds
        share = max(CONNECT_SECONDS / len(addresses), LEAST_CONNECT_SECONDS)
        self._connections = {
            address: Connection(address, password, share, reply_seconds)
            for address in addresses
        }
        self._absent: dict[Address, float] = {}  # until then, monotonic
        # The order spreads load, nothing else depends on it.
        self._order = deque(random.sample(list(addresses), len(addresses)))

    def __len__(self) -> int:
        """Return how many nodes the settings name."""
        return len(self._order)

    def connected(self) -> Connection:
        """Return the connection in use; a node that fails goes to the end of the order.

        Raises:
            BrokerUnavailable: no node can be reached.
            BrokerError: a node refuses the password.
        """
        errors: list[BrokerUnavailable] = []
        for _ in range(len(self)):
            connection = self._connections[self._order[0]]
            try:
                connection.connect()
            except BrokerUnavailable as error:
                errors.append(error)
                self._order.rotate(-1)
            else:
                return connection
        raise _nobody(errors) from errors[-1]

    def talk(self, *commands: Sequence[Any]) -> tuple[Connection, list[Any]]:
        """Send commands to the node in use; return it with its replies and errors.

        A node that is leaving its cluster has done nothing, and so the next is asked.

        Raises:
            BrokerUnavailable: as `connected`, or the connection broke; then what has
                been carried out is not known, and the next call goes to another node.
        """
        for _ in range(len(self)):
            connection = self.connected()
            try:
                replies = connection.talk(commands)
            except BrokerUnavailable:
                self._order.rotate(-1)
                raise
            if all(code(reply) == "LEAVING" for reply in replies):
                self._order.rotate(-1)
                continue
            break
        return connection, replies

    def leave(self) -> None:
        """Use the next node from now on."""
        self._order.rotate(-1)

    def others(self) -> Iterator[Connection]:
        """Connect to each node that is not in use; one that is not there has a pause.

        What is wrong with one of them is no trouble of who works with another.
        """
        now = time.monotonic()
        for address in list(self._order)[1:]:
            if now < self._absent.get(address, 0.0):
                continue
            connection = self._connections[address]
            try:
                connection.connect()
                yield connection
            except BrokerError as error:
                logger.debug("%s The node is skipped for %s s.", error, ABSENT_SECONDS)
                self._absent[address] = time.monotonic() + ABSENT_SECONDS

    def ask(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands to the node in use; the first error in the replies is raised."""
        connection, replies = self.talk(*commands)
        return [connection.require(reply) for reply in replies]

    def at(self, address: Address) -> Connection:
        """Return the connection to one node, or to another when it is not there.

        Nodes of one cluster pass acknowledgements on, so any of them is good for what
        its neighbour has handed out.
        """
        connection = self._connections.get(address)
        if connection is None:
            return self.connected()
        try:
            connection.connect()
        except BrokerUnavailable as error:
            logger.debug("%s Another node is asked.", error)
            return self.connected()
        return connection

    def each(self) -> Iterator[Connection]:
        """Connect to every node in turn; pass over those that cannot be reached.

        Raises:
            BrokerUnavailable: not one of them can.
        """
        errors: list[BrokerUnavailable] = []
        for address in list(self._order):
            connection = self._connections[address]
            try:
                connection.connect()
            except BrokerUnavailable as error:
                errors.append(error)
            else:
                yield connection
        if len(errors) == len(self):
            raise _nobody(errors) from errors[-1]
        for reason in errors:
            logger.warning("a node was left out: %s", reason)

    def close(self) -> None:
        """Disconnect from all nodes."""
        for connection in self._connections.values():
            connection.close()


def _nobody(errors: Sequence[BrokerUnavailable]) -> BrokerUnavailable:
    if len(errors) == 1:
        return errors[0]
    facts = " ".join(str(error).partition(" Check ")[0] for error in errors)
    return BrokerUnavailable(
        f"none of the {len(errors)} nodes of Disque can be reached: {facts} Check that"
        " they run there, or set Q_CLUSTER['disque_nodes'] to where they do."
    )
