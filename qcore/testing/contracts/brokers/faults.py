"""What a broker promises when its service fails."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

import pytest

from ....brokers.base import Broker
from ....errors import BrokerUnavailable
from ...speed import Patience, begun_again_when_late, must_precede
from .case import BrokerCase, Connect

T = TypeVar("T")

# A message that tells what to do has one of these words.
ADVICE = re.compile(r"\b(check|run|see|set|start|try|use)\b", re.IGNORECASE)

CALLS: dict[str, Callable[[Broker], object]] = {
    "ping": lambda broker: broker.ping(),
    "info": lambda broker: broker.info(),
    "enqueue": lambda broker: broker.enqueue(b"package"),
    "enqueue_many": lambda broker: broker.enqueue_many([b"a", b"b"]),
    "dequeue": lambda broker: broker.dequeue(),
    "dequeue-wait": lambda broker: broker.dequeue(limit=5, wait=0.5),
    "purge_queue": lambda broker: broker.purge_queue(),
    "delete_queue": lambda broker: broker.delete_queue(),
}


class FaultsContract(BrokerCase):
    """A dead service, a restarted one, a dropped connection."""

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
    def test_dead_service(
        self, dead_broker: Broker, call: Callable[[Broker], object]
    ) -> None:
        """Every call raises BrokerUnavailable, says what to do and keeps secrets."""
        with pytest.raises(BrokerUnavailable) as raised:
            call(dead_broker)
        message = str(raised.value)
        assert ADVICE.search(message), f"no advice in: {message}"
        # the log shows causes too, and so do error reporters
        told = "".join(str(error) for error in _chain(raised.value)) + "".join(
            traceback.format_exception_only(raised.value)
        )
        assert self.secret is None or self.secret not in told

    def test_dead_service_can_be_closed(self, dead_broker: Broker) -> None:
        """``close`` raises nothing, with the service there or not."""
        with pytest.raises(BrokerUnavailable):
            dead_broker.ping()
        dead_broker.close()
        dead_broker.close()

    @pytest.mark.parametrize("kill", [False, True], ids=["in-order", "kill"])
    def test_restart_heals(
        self, connect: Connect, restart: Callable[[bool], None], kill: bool
    ) -> None:
        """The same instance goes on after the service was restarted.

        A call that meets the dropped connection may raise BrokerUnavailable, and
        nothing else.
        """
        broker = connect()
        broker.enqueue(b"before")
        restart(kill)
        self._insist(lambda: broker.enqueue(b"after"))
        came: set[bytes] = set()
        patience = Patience(self.term + self.patience)
        while b"after" not in came and not patience.is_over():
            found = self._insist(lambda: broker.dequeue(limit=10, wait=0.2))
            came |= {delivery.package for delivery in found}
            broker.acknowledge_many([delivery.receipt for delivery in found])
        assert b"after" in came

    @pytest.mark.parametrize("kill", [False, True], ids=["in-order", "kill"])
    def test_durable_survives_restart(
        self, connect: Connect, restart: Callable[[bool], None], kill: bool
    ) -> None:
        """With the flag ``durable``, waiting and claimed packages survive a restart.

        A claim survives with its count: the package comes as a second attempt.
        """
        broker = connect()
        self.require(broker, "durable")
        broker.enqueue_many([b"a", b"b", b"c"])
        held = self.receive_one(broker)
        restart(kill)
        self._insist(broker.ping)
        back: dict[bytes, int] = {}
        patience = Patience(2 * (self.term + self.patience))
        while len(back) < 3 and not patience.is_over():
            # on a slow machine the lease of one ends while another is waited for
            delivery = self.receive_one(broker)
            back.setdefault(delivery.package, delivery.attempt)
        assert sorted(back) == [b"a", b"b", b"c"]
        assert back[held.package] == 2, "the claim was forgotten"

    @begun_again_when_late
    def test_acknowledgement_survives_restart(
        self, connect: Connect, restart: Callable[[bool], None]
    ) -> None:
        """What was acknowledged before a kill does not come back after it."""
        broker = connect()
        self.require(broker, "durable")
        broker.enqueue_many([b"a", b"b"])
        for delivery in self.receive(broker, 2):
            broker.acknowledge(delivery.receipt)
            must_precede(delivery.lease_end)
        restart(True)
        self._insist(broker.ping)
        self.assert_quiet(broker, 1.5 * self.term)

    @begun_again_when_late
    def test_receipts_outlive_a_restart(
        self, connect: Connect, restart: Callable[[bool], None]
    ) -> None:
        """With ``durable``, what was claimed before a kill can be acknowledged after it.

        A worker that ends its task meanwhile holds such a receipt.
        """
        broker = connect()
        self.require(broker, "durable")
        broker.enqueue_many([b"a", b"b"])
        first, second = self.receive(broker, 2)
        restart(True)
        self._insist(lambda: broker.acknowledge(first.receipt))
        if not self.late_acknowledge:
            must_precede(first.lease_end)
        back = self.receive_one(broker)
        assert back.package == second.package, "the acknowledgement was forgotten"
        broker.acknowledge(back.receipt)
        must_precede(back.lease_end)
        self.assert_quiet(broker, 1.5 * self.term)

    def _insist(self, call: Callable[[], T]) -> T:
        """Repeat a call while the service is unavailable, for as long as is patient."""
        patience = Patience(self.patience)
        while True:
            try:
                return call()
            except BrokerUnavailable:
                if patience.is_over():
                    raise
                time.sleep(0.1)


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        hidden = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or hidden
    return chain
