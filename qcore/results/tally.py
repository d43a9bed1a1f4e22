"""Tally: how many results a store holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """The numbers that ``ResultStore.count`` returns."""

    succeeded: int
    """Successes; the calls of an ``async_iter`` that wait to be joined are none."""
    failed: int
    """Failures, those that are tried again included."""
    seconds: float | None = None
    """The seconds that the last attempts of all of them ran, added up; None where the
    count had no beginning, because many millions of rows are counted faster than read."""

    @property
    def total(self) -> int:
        """How many there are."""
        return self.succeeded + self.failed

    @property
    def average(self) -> float | None:
        """The seconds of one; None where there is none, or they were not added up."""
        return (
            self.seconds / self.total
            if self.total and self.seconds is not None
            else None
        )
