"""How long an idle consumer sleeps between two looks at its queue."""

from __future__ import annotations

#: Seconds of the first pause: a package that follows at once is found this soon.
FIRST = 0.005
#: Each pause is this much longer than the one before.
GROWTH = 1.6
#: Seconds; a `poll` below this would be a busy loop over the network.
SHORTEST_POLL = 0.01


class Pauses:
    """Pauses that grow while nothing comes, from 5 ms to ``poll``.

    Args:
        poll: seconds that a pause may reach.
    """

    def __init__(self, poll: float) -> None:
        self._longest = max(poll, SHORTEST_POLL)
        self._next = FIRST

    def next(self) -> float:
        """Return the seconds to sleep now."""
        pause = self._next
        self._next = min(self._longest, pause * GROWTH)
        return pause

    def reset(self) -> None:
        """Begin anew with a short one: something came, and more is likely to follow."""
        self._next = FIRST
