"""The broker for the private server of IronMQ, where tests and their clusters find it."""

from __future__ import annotations

from qcore_ironmq.broker import IronMQBroker

#: Seconds that the quick server counts while one goes by.
PACE = 20.0


class QuickBroker(IronMQBroker):
    """Knows how quick the clock of the test server is."""

    pace = PACE
