"""What a broker promises about claimed deliveries that nobody acknowledges."""

from __future__ import annotations

import time

from ...speed import TooLate, begun_again_when_late, must_precede
from .case import LONG, BrokerCase, Connect


class LeasesContract(BrokerCase):
    """Redelivery, release and extension."""

    def test_claimed_is_hidden(self, connect: Connect) -> None:
        """During its lease a delivery is shown to nobody, its own claimer included."""
        holder, other = connect(retry=LONG), connect(retry=LONG)
        self.require(holder, "receipts")
        holder.enqueue(b"package")
        self.receive_one(holder)
        self.assert_quiet(other, self.lease / 2)
        assert holder.dequeue() == []

    def test_unacknowledged_returns(self, connect: Connect) -> None:
        """After its lease a delivery comes again, to anybody, with attempt 2, 3 …"""
        holder, other = connect(), connect()
        self.require(holder, "receipts")
        holder.enqueue(b"package")
        claimed = time.monotonic()
        first = self.receive_one(holder)
        second = self.receive_one(other)
        assert time.monotonic() - claimed >= self.term * 0.9, "it came too early"
        # 5 ms: services count in milliseconds, and round
        late = first.lease_end - time.monotonic()
        assert late < 0.005, "lease_end was later than the truth"
        third = self.receive_one(holder)
        packages = {first.package, second.package, third.package}
        assert packages == {b"package"}
        assert [first.attempt, second.attempt, third.attempt] == [1, 2, 3]

    @begun_again_when_late
    def test_only_the_unacknowledged_return(self, connect: Connect) -> None:
        """Of several claimed together, those return that were not acknowledged."""
        broker = connect()
        self.require(broker, "receipts")
        broker.enqueue_many([b"a", b"b", b"c"])
        held = self.receive(broker, 3)
        must_precede(min(one.lease_end for one in held))
        claimed = {one.package: one for one in held}
        broker.acknowledge(claimed[b"b"].receipt)
        must_precede(claimed[b"b"].lease_end)
        back = self.receive(broker, 2)
        must_precede(min(one.lease_end for one in back))
        assert sorted(delivery.package for delivery in back) == [b"a", b"c"]
        assert [delivery.attempt for delivery in back] == [2, 2]

    # -- release -----------------------------------------------------------
    def test_release_returns_at_once(self, connect: Connect) -> None:
        """A released delivery is claimed again long before its lease ends."""
        holder, other = connect(retry=LONG), connect(retry=LONG)
        self.require(holder, "release")
        holder.enqueue_many([b"a", b"b"])
        held = self.receive(holder, 2)
        holder.release([delivery.receipt for delivery in held])
        again = self.receive(other, 2)
        assert sorted(delivery.package for delivery in again) == [b"a", b"b"]
        assert [delivery.attempt for delivery in again] == [2, 2]

    def test_release_with_delay(self, connect: Connect) -> None:
        """``release(delay=...)`` hides the delivery for that long, and no longer."""
        broker = connect(retry=LONG)
        self.require(broker, "release")
        broker.enqueue(b"package")
        held = self.receive_one(broker)
        released = time.monotonic()
        broker.release([held.receipt], delay=self.term)
        again = self.receive_one(broker)
        assert time.monotonic() - released >= self.term - 0.05, "it came too early"
        assert (again.package, again.attempt) == (b"package", 2)

    def test_release_of_the_acknowledged(self, connect: Connect) -> None:
        """Releasing what is acknowledged, or nothing, is harmless."""
        broker = connect(retry=LONG)
        self.require(broker, "release")
        broker.enqueue(b"package")
        held = self.receive_one(broker)
        broker.acknowledge(held.receipt)
        broker.release([held.receipt])
        broker.release([])
        self.assert_quiet(broker, self.lease / 2)

    def test_stale_release_disturbs_nobody(self, connect: Connect) -> None:
        """Releasing with an expired receipt leaves the new holder its delivery."""
        late, holder = connect(), connect(retry=LONG)
        self.require(late, "release")
        late.enqueue(b"package")
        stale = self.receive_one(late)
        self.receive_one(holder)
        late.release([stale.receipt])
        self.assert_quiet(late, self.lease)

    # -- extend ------------------------------------------------------------
    @begun_again_when_late
    def test_extend_prolongs(self, connect: Connect) -> None:
        """An extended delivery is hidden past its original lease, then returns."""
        holder, other = connect(), connect()
        self.require(holder, "extend")
        holder.enqueue(b"package")
        held = self.receive_one(holder)
        hidden_until, end = held.lease_end, time.monotonic() + 2 * self.term
        while time.monotonic() < end:
            asked = time.monotonic()
            lost = holder.extend([held.receipt])
            must_precede(hidden_until)
            assert lost == set(), "a lease in force was reported as lost"
            hidden_until = asked + self.term
            quiet_until = min(time.monotonic() + self.term / 4, hidden_until)
            if self.assert_quiet_until(other, quiet_until):
                raise TooLate("the other one had it before the next extension")
        again = self.receive_one(other)
        assert (again.package, again.attempt) == (b"package", 2)

    @begun_again_when_late
    def test_extend_is_from_now(self, connect: Connect) -> None:
        """One extension makes the lease end a whole lease from now."""
        holder, other = connect(), connect()
        self.require(holder, "extend")
        holder.enqueue(b"package")
        held = self.receive_one(holder)
        time.sleep(self.term / 2)
        extended = time.monotonic()
        lost = holder.extend([held.receipt])
        must_precede(held.lease_end)
        assert lost == set(), "a lease in force was reported as lost"
        self.receive_one(other)
        assert time.monotonic() - extended >= self.term * 0.9, "it came too early"

    def test_extend_reports_the_acknowledged(self, connect: Connect) -> None:
        """``extend`` returns the receipts that are gone, and prolongs the others."""
        broker = connect(retry=LONG)
        self.require(broker, "extend")
        broker.enqueue_many([b"kept", b"done"])
        held = {one.package: one.receipt for one in self.receive(broker, 2)}
        broker.acknowledge(held[b"done"])
        assert broker.extend(list(held.values())) == {held[b"done"]}
        assert broker.extend([]) == set()

    def test_extend_reports_the_expired(self, connect: Connect) -> None:
        """A lease that has run out is lost, even while nobody else has claimed it.

        A broker whose service cannot tell may still prolong it; it must then hold it.
        """
        broker = connect()
        self.require(broker, "extend")
        broker.enqueue(b"package")
        held = self.receive_one(broker)
        self.wait_out(self.term)
        asked = time.monotonic()
        late = []
        if not broker.extend([held.receipt]):
            late = self.assert_quiet_until(broker, asked + self.term / 2)
        again = late[0] if late else self.receive_one(broker)
        assert (again.package, again.attempt) == (b"package", 2)

    @begun_again_when_late
    def test_stale_extend_disturbs_nobody(self, connect: Connect) -> None:
        """``extend`` reports a delivery that another has claimed, and leaves it his."""
        late, holder = connect(), connect(retry=2 * self.term)
        self.require(late, "extend")
        late.enqueue(b"package")
        stale = self.receive_one(late)
        current = self.receive_one(holder)
        assert late.extend([stale.receipt]) == {stale.receipt}
        asked = time.monotonic()
        lost = holder.extend([current.receipt])
        must_precede(current.lease_end)
        assert lost == set(), "the lease of the holder was touched"
        self.assert_quiet_until(late, asked + self.term)
