"""How long an idle consumer sleeps between two looks at its queue."""

from __future__ import annotations


class Pauses:
    """Pauses that grow while nothing comes.

    For a broker of a service that cannot wait for a package, or tells of none.

    Args:
        first: seconds of the first pause. A package that follows at once is found this soon.
        growth: how many times as long as the one before each pause is.
        longest: seconds that a pause may reach, such as ``conf.poll``.
    """

    def __init__(self, first: float, growth: float, longest: float) -> None:
        self._first = min(first, longest)
        self._growth = growth
        self._longest = longest
        self._next = self._first

    def next(self) -> float:
        """Return the seconds to sleep now."""
        pause = self._next
        self._next = min(self._longest, pause * self._growth)
        return pause

    def reset(self) -> None:
        """Begin anew with a short pause: a package came, and more are likely to follow."""
        self._next = self._first
