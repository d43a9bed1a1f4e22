"""What a broker promises about its capability flags."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ....brokers.base import CAPABILITIES, Broker
from ....errors import Unsupported
from .case import BrokerCase

# capability -> calls that must be refused when its flag is off
REFUSALS: dict[str, dict[str, Callable[[Broker], object]]] = {
    "release": {
        "release": lambda broker: broker.release([]),
        "release with delay": lambda broker: broker.release([], delay=1),
    },
    "delay": {
        "enqueue with delay": lambda broker: broker.enqueue(b"later", delay=1),
        "enqueue_many with delay": lambda broker: broker.enqueue_many([b"x"], delay=1),
    },
    "priority": {
        "enqueue_with_priority": lambda broker: broker.enqueue_with_priority([b"x"], 1),
        "enqueue_with_priority of 0": lambda broker: broker.enqueue_with_priority(
            [b"x"], 0
        ),
    },
    "extend": {"extend": lambda broker: broker.extend([])},
    "delete": {"delete": lambda broker: broker.delete("1")},
    "counts": {
        "queue_size": lambda broker: broker.queue_size(),
        "lock_size": lambda broker: broker.lock_size(),
    },
    "stats": {
        "set_stat": lambda broker: broker.set_stat("key", b"value", ttl=1),
        "get_stats": lambda broker: broker.get_stats("key"),
    },
}


class FlagsContract(BrokerCase):
    """A capability is either kept or refused; nothing in between."""

    def test_off_means_refused(self, broker: Broker) -> None:
        """Every method whose flag is off raises Unsupported and does nothing."""
        off = {
            f"supports_{name}": calls
            for name, calls in REFUSALS.items()
            if not getattr(broker, f"supports_{name}")
        }
        if not broker.counts_claimed:
            off["counts_claimed"] = {"lock_size": REFUSALS["counts"]["lock_size"]}
        for flag, calls in off.items():
            for name, call in calls.items():
                try:
                    call(broker)
                except Unsupported as refusal:
                    assert type(broker).__name__ in str(refusal)
                else:
                    pytest.fail(
                        f"{flag} is off, but {name} was not refused: set the flag, or"
                        " raise Unsupported"
                    )
        assert broker.dequeue(limit=10) == []

    def test_flags_agree(self, broker: Broker) -> None:
        """``bulk`` goes with ``max_batch`` > 1; leases need receipts."""
        on = broker.capabilities()
        assert set(on) == set(CAPABILITIES)
        assert broker.max_batch >= 1
        assert on["bulk"] == (broker.max_batch > 1)
        assert on["receipts"] or not (on["release"] or on["extend"])
        assert on["transactional"] == (broker.database is not None)
        assert broker.max_payload is None or broker.max_payload > 0
