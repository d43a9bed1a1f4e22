"""A limiter that keeps its buckets in the memory of a test, as a stranger would write one."""

from __future__ import annotations

from typing import ClassVar

from qcore.errors import BrokerUnavailable
from qcore.runtime import current


class MemoryLimiter:
    """Its time is that of the ledger, which tests move."""

    #: key -> the starts that it had, and when.
    buckets: ClassVar[dict[str, tuple[float, float]]] = {}
    #: What was asked: "draw" with the starts that were taken, or "give back".
    asked: ClassVar[list[tuple[str, int]]] = []
    is_away: ClassVar[bool] = False

    def __init__(self, conf):
        pass

    def draw(self, buckets):
        self._ask("draw", 0)
        now, found = current.ledger.now(), []
        for key, pace, burst, most in buckets:
            tokens, at = self.buckets.get(key, (burst, now))
            tokens = min(burst, tokens + (now - at) / pace)
            taken = min(most, int(tokens + 1e-3))
            found.append(tokens)
            self.buckets[key] = max(0.0, tokens - taken), now
            self.asked[-1] = "draw", self.asked[-1][1] + taken
        return found

    def give_back(self, starts):
        self._ask("give back", sum(starts.values()))
        for key, count in starts.items():
            tokens, at = self.buckets.get(key, (0.0, 0.0))
            self.buckets[key] = tokens + count, at

    def _ask(self, what, count):
        self.asked.append((what, count))
        if self.is_away:
            raise BrokerUnavailable("the limiter at redis://u:canary@h:1/0 is away.")


def forget(monkeypatch):
    """Let a test begin with no buckets, and with a limiter that is there."""
    for name, value in (("buckets", {}), ("asked", []), ("is_away", False)):
        monkeypatch.setattr(MemoryLimiter, name, value)
