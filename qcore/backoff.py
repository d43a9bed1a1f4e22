"""Backoff: how long a failed task waits before it is tried again.

A policy is a number of seconds, one of the words below, a ``Backoff``, or the dotted path
of a function ``(attempt, error) -> seconds``, which a worker calls.
"""

from __future__ import annotations

import math
import random

import msgspec

#: Seconds, nearly 32 years: the longest time that an option may name. Clocks, caches
#: and services all reckon with it; of memcached it is the limit.
LONGEST = 1_000_000_000


class Backoff(msgspec.Struct, frozen=True, gc=False):
    """Waits that grow: ``base``, ``base * factor``, ``base * factor ** 2`` and so on.

    Raises:
        ValueError: a number is out of its range.
    """

    base: float
    """Seconds to wait after the first attempt, 0 or more."""
    factor: float = 2.0
    """How many times longer each wait is than the one before, 1 or more."""
    cap: float = 3600.0
    """Seconds that no wait exceeds, more than 0."""
    jitter: float = 0.0
    """The part of each wait, from 0 to 1, that is left to chance: with 0.2, a wait of 100
    seconds becomes 80 to 100, so that tasks that failed together do not come together."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("base", 0, LONGEST),
            ("factor", 1, LONGEST),
            ("cap", 0, LONGEST),
            ("jitter", 0, 1),
        ):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not least <= value <= most:
                raise ValueError(
                    f"Backoff: {name} is {value!r}, expected a number from {least} to"
                    f" {most:,}"
                )

    def seconds(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt, the first of which is 1."""
        try:
            grown = self.base * self.factor ** (max(attempt, 1) - 1)
        except OverflowError:
            grown = math.inf
        return _spread(min(grown, self.cap), self.jitter)


#: What a task or the setting ``backoff`` may say.
Policy = float | str | Backoff

#: The wait of "linear" after the first attempt, which is added each time: seconds.
_STEP = 10.0
#: As "exponential" waits: 2, 4, 8 seconds and so on, an hour at most.
_EXPONENTIAL = Backoff(2.0, factor=2.0, cap=3600.0, jitter=0.25)
#: The policies that have a name.
WORDS = ("exponential", "linear")


def is_path(policy: object) -> bool:
    """Whether a policy is the dotted path of a function."""
    return isinstance(policy, str) and policy not in WORDS


def wait_after(policy: Policy | None, attempt: int) -> float | None:
    """Return the seconds that a policy of numbers waits after an attempt.

    None where there is no policy, or where only a function knows.
    """
    if policy is None or is_path(policy):
        return None
    if policy == "exponential":
        return _EXPONENTIAL.seconds(attempt)
    if policy == "linear":
        wait = min(_STEP * max(attempt, 1), _EXPONENTIAL.cap)
        return _spread(wait, _EXPONENTIAL.jitter)
    return policy.seconds(attempt) if isinstance(policy, Backoff) else float(policy)


def _spread(wait: float, jitter: float) -> float:
    return wait * (1 - random.uniform(0, jitter)) if jitter else wait  # noqa: S311 - no secret
