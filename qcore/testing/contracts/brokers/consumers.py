"""What a broker promises when several consumers claim at once."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import ClassVar

from ....brokers.base import Broker
from ...speed import Patience, stretched
from .case import LONG, BrokerCase, Connect


class ConsumersContract(BrokerCase):
    """No delivery is held by two, none is lost between them."""

    #: Packages that the consumers race for; fewer where each call costs money.
    race: ClassVar[int] = 200

    def test_two_instances_share(self, connect: Connect) -> None:
        """Two brokers that claim in turns get every package once."""
        first, second = connect(retry=LONG), connect(retry=LONG)
        sent = [b"%02d" % n for n in range(10)]
        first.enqueue_many(sent)
        came: list[bytes] = []
        patience = Patience(self.patience)
        while len(came) < len(sent) and not patience.is_over():
            for broker in (first, second):
                came += [one.package for one in broker.dequeue(limit=2)]
        assert sorted(came) == sent
        assert first.dequeue() == second.dequeue() == []

    def test_threads_race(self, connect: Connect) -> None:
        """Four threads, each with its own broker, get every package once."""
        sent = self._load(connect(retry=LONG))
        came: list[list[str]] = []

        def consume() -> None:
            with closing(connect(retry=LONG)) as broker:
                came.append(self._drain(broker))

        threads = [threading.Thread(target=consume, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(stretched(6 * self.patience))
        assert len(came) == 4, "a thread failed or has not ended"
        together = [name for part in came for name in part]
        self._assert_each_once(sent, together, connect(retry=LONG))

    def test_processes_race(self, connect: Connect) -> None:
        """Two processes get every package once."""

        def load() -> list[str]:
            return self._load(connect(retry=LONG))

        def consume() -> list[str]:
            return self._drain(connect(retry=LONG))

        # the parent connects only after its last fork
        sent = self.in_child(load)()
        children = [self.in_child(consume) for _ in range(2)]
        came = [name for child in children for name in child()]
        self._assert_each_once(sent, came, connect(retry=LONG))

    def test_forked_children_use_their_own_connection(self, connect: Connect) -> None:
        """After a fork, broker instances of parent and child do not share a wire."""
        parent = connect(retry=LONG)
        parent.enqueue(b"before")  # connected

        def send() -> list[str]:
            child = connect(retry=LONG)
            ids = [child.enqueue(b"child-%02d" % n) for n in range(20)]
            child.close()
            return ids

        child = self.in_child(send)
        ids = [parent.enqueue(b"parent-%02d" % n) for n in range(20)] + child()
        assert len(set(ids)) == 40
        ours = [b"parent-%02d" % n for n in range(20)]
        theirs = [b"child-%02d" % n for n in range(20)]
        came = [one.package for one in self.receive(parent, 41)]
        assert sorted(came) == sorted([b"before", *ours, *theirs])
        assert parent.ping()

    def _load(self, broker: Broker) -> list[str]:
        sent = [f"{n:04d}" for n in range(self.race)]
        broker.enqueue_many([name.encode() for name in sent])
        return sent

    def _drain(self, broker: Broker) -> list[str]:
        """Claim and acknowledge until nothing has come for a second, and five times."""
        came: list[str] = []
        quiet_since, empty = time.monotonic(), 0
        while time.monotonic() - quiet_since < 1 or empty < 5:
            found = broker.dequeue(limit=3, wait=0.1)
            empty += 1
            if found:
                quiet_since, empty = time.monotonic(), 0
            came += [one.package.decode() for one in found]
            broker.acknowledge_many([one.receipt for one in found])
            time.sleep(0.001)  # lets the others in
        return came

    def _assert_each_once(
        self, sent: list[str], came: list[str], broker: Broker
    ) -> None:
        # a service may answer "empty" while others hold its attention: what is
        # left over is late, not lost
        came += self._drain(broker)
        twice = sorted({name for name in came if came.count(name) > 1})
        assert twice == [], "these were delivered to two consumers"
        assert sorted(came) == sent
