"""A broker outside of the database, as far as senders can tell: tests look inside it."""

from __future__ import annotations

from qcore.brokers.memory import MemoryBroker


class OutsideBroker(MemoryBroker):
    """Blocks, as a service does, and can be told to fail."""

    blocks = True
    #: What the next calls raise, in order; None: nothing.
    errors: list[BaseException | None] = []  # noqa: RUF012 - tests empty it
    #: Seconds that it can keep a package back.
    longest: float = 900

    def check_delay(self, delay):
        super().check_delay(delay)
        if delay > self.longest:
            raise self._unsupported(f"delay a package for {delay} s")

    def enqueue_many(self, packages, *, delay=0):
        self.check_delay(delay)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            stored = getattr(error, "stored", 0)
            if stored:
                super().enqueue_many(packages[:stored], delay=delay)
            raise error
        return super().enqueue_many(packages, delay=delay)
