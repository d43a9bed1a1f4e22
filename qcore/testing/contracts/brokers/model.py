"""What a queue holds, as far as it can be known from outside: the model of a broker.

A real service has a clock of its own and answers after a while. So for each package the
model knows two moments: until the first one it must not be handed out, and from the
second one on it must be. Between them either is right. With a clock that stands
still during a call, both are the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

#: Seconds by which a service may hand out too early: they count in milliseconds.
ROUNDING = 0.005


@dataclass(slots=True, eq=False)
class Claim:
    """One delivery, as its consumer holds it."""

    package: Package
    receipt: Hashable
    attempt: int


@dataclass(slots=True, eq=False)
class Package:
    """One package that was sent."""

    id: str
    body: bytes
    number: int  # in the order of sending
    early: float  # until then it must not be handed out
    late: float  # and from then on it must be
    delayed: bool  # by its sender: its place in the order is not promised
    claim: Claim | None = None  # the newest one; None after a release
    attempts: int = 0
    #: given back for later: until then a service may count it as claimed, as SQS does
    resting: bool = False
    gone: bool = False

    def is_hidden(self, now: float) -> bool:
        """Whether it must not be handed out."""
        return self.gone or now < self.early - ROUNDING

    def is_due(self, now: float) -> bool:
        """Whether it must be handed out to whoever asks."""
        return not self.gone and self.late <= now

    def holds(self, claim: Claim, now: float) -> bool | None:
        """Whether a claim is the one in force; None where that cannot be known."""
        if self.gone or self.claim is not claim or self.late <= now:
            return False
        return True if now < self.early - ROUNDING else None


@dataclass(slots=True)
class Model:
    """All packages of one queue.

    Args:
        lease: seconds.
        slack: seconds by which the service may hand out too late.
        keeps_order: whether what was sent first is claimed first.
    """

    lease: float
    slack: float
    keeps_order: bool
    packages: dict[bytes, Package] = field(default_factory=dict)

    def left(self) -> list[Package]:
        """Return the packages that are still in the queue."""
        return [package for package in self.packages.values() if not package.gone]

    # -- what consumers do; each between two moments -------------------------------------
    def sent(
        self, ids: Iterable[str], bodies: Iterable[bytes], delay: float,
        since: float, now: float,
    ) -> None:  # fmt: skip
        """Note that packages were stored."""
        for id, body in zip(ids, bodies, strict=True):
            self.packages[body] = Package(
                id=id,
                body=body,
                number=len(self.packages),
                early=since + delay,
                late=now + delay + self.slack if delay else now,
                delayed=delay > 0,
            )

    def claimed(
        self, body: bytes, receipt: Hashable, attempt: int, end: float, now: float
    ) -> Claim:
        """Note a delivery, and judge it.

        Raises:
            AssertionError: it breaks a promise.
        """
        package = self.packages.get(body)
        assert package is not None, f"{body!r} was never sent"
        assert not package.gone, f"{body!r} came again after it was acknowledged"
        held = "it is claimed" if package.claim else "its delay is not over"
        assert not package.is_hidden(now), f"{body!r} was handed out although {held}"
        assert attempt > package.attempts, (
            f"{body!r} was delivered as attempt {attempt} after {package.attempts}"
        )
        assert package.attempts or attempt == 1, f"the first attempt is {attempt}"
        claim = Claim(package, receipt, attempt)
        package.claim, package.attempts, package.resting = claim, attempt, False
        package.early, package.late = end, now + self.lease + self.slack
        return claim

    def judge_order(self, claims: Iterable[Claim], waited: Iterable[Package]) -> None:
        """Compare one batch with what had been due before it was asked for.

        Raises:
            AssertionError: it breaks a promise.
        """
        if not self.keeps_order:
            return
        fresh = [
            claim.package.number
            for claim in claims
            if claim.attempt == 1 and not claim.package.delayed
        ]
        assert fresh == sorted(fresh), "what was sent first did not come first"
        passed = [one for one in waited if fresh and one.number < fresh[-1]]
        assert all(one.attempts for one in passed), "an older package was passed over"

    def released(self, claim: Claim, delay: float, since: float, now: float) -> None:
        """Note that a delivery was given back."""
        package = claim.package
        holds = package.holds(claim, now)
        if holds is False:
            return
        early, late = since + delay, now + delay + (self.slack if delay else 0)
        if holds:
            package.early, package.late = early, late
        else:  # its lease may have ended just before
            package.early = min(package.early, early)
            package.late = max(package.late, late)
        package.claim, package.resting = None, delay > 0

    def extended(self, claim: Claim, since: float, now: float, *, lost: bool) -> None:
        """Note the answer to a wish to prolong a lease.

        Raises:
            AssertionError: it breaks a promise.
        """
        package, body = claim.package, claim.package.body
        if package.holds(claim, since) is False:
            assert lost, f"a lease of {body!r} was prolonged that had ended"
        elif package.holds(claim, now):
            assert not lost, f"a lease of {body!r} in force was called lost"
        if not lost:
            package.early = since + self.lease
            package.late = now + self.lease + self.slack

    # -- what is asked -------------------------------------------------------------------
    def waiting(self, since: float, now: float) -> tuple[int, int]:
        """Return how many packages wait to be claimed, at least and at most."""
        left = self.left()
        idle = [p for p in left if p.claim is None]
        over = [p for p in left if p.claim is not None and not p.is_hidden(now)]
        doubtful = sum(p.resting and not p.is_due(since) for p in idle)
        sure = sum(p.is_due(since) for p in over)
        return len(idle) - doubtful + sure, len(idle) + len(over)

    def leased(self, since: float, now: float) -> tuple[int, int]:
        """Return how many packages are claimed, at least and at most."""
        left = self.left()
        claimed = [p for p in left if p.claim is not None]
        resting = sum(p.resting and not p.is_due(since) for p in left)
        sure = sum(p.is_hidden(now) for p in claimed)
        return sure, sum(not p.is_due(since) for p in claimed) + resting
