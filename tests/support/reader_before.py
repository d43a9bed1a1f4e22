"""A cluster of release 2.0, as far as packages of version 2 see it: it gives them back.

What that release does was read in its code, the commit in ``support.release_before``; a test
of two releases plays the code itself. This reader needs no process and no time.
"""

from __future__ import annotations

from qcore.brokers.base import Broker

#: The only version of packages that it reads.
VERSION = 1
#: Seconds for which it gives another one back, and deliveries after which it does not.
DELAY, TIMES = 30.0, 20


class ReaderBefore:
    """The pusher of such a cluster.

    Args:
        broker: with the queue that it shares with clusters of today.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.given_back = 0
        self.quarantined: list[bytes] = []

    def claim(self) -> list[bytes]:
        """Claim what there is; return the packages that it runs."""
        plain = []
        for delivery in self._broker.dequeue(100):
            if delivery.package[2] == VERSION:
                plain.append(delivery.package)
                self._broker.acknowledge(delivery.receipt)
            elif delivery.attempt > TIMES:
                self.quarantined.append(delivery.package)
                self._broker.fail(delivery.receipt)
            else:
                self.given_back += 1
                self._broker.release([delivery.receipt], delay=DELAY)
        return plain
