"""A clock for the tests of a project: let days pass, and run what falls due in them.

Nothing sleeps. Delays, retries, schedules and expiry follow the clock, in their order::

    def test_a_reminder_comes_after_two_weeks(db, qcore_queue, qcore_clock):
        sign_up("ada@example.org")
        qcore_clock.advance(days=13)
        assert mail.outbox == []
        qcore_clock.advance(days=1)
        assert len(mail.outbox) == 1

It works with the memory broker and the ORM broker, and with the schedules in the database.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ..clock import Clock, wall
from ..plugins.provider import Provider
from ..runtime import current
from . import interrupts
from .drain import MOST, Counts, drain

if TYPE_CHECKING:
    from types import TracebackType

#: Of a higher layer than this one.
_RELAY = Provider("relay", "qcore.ledger.relay:Relay")

#: Seconds of the smallest step: the clock of a database may count in milliseconds.
_STEP = 0.002


class QcoreClock:
    """Sets the clock of qcore in this process ahead; use it in a ``with`` statement.

    ``django.utils.timezone.now()`` follows it, and so does what calls that by its module.
    ``time.time()``, ``datetime.now()`` and a ``now`` that was imported by itself do not.

    Args:
        queue: whose tasks it runs; None means the project's own.
    """

    def __init__(self, queue: str | None = None) -> None:
        self._queue = queue
        self._now: Any = None

    def __enter__(self) -> Self:
        """Begin at the true time."""
        from django.utils import timezone

        self._now = true = timezone.now
        timezone.now = lambda: true() + dt.timedelta(seconds=Clock.offset)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Go back to the true time."""
        from django.utils import timezone

        timezone.now = self._now
        Clock.offset = 0.0
        interrupts.forget()

    @property
    def now(self) -> dt.datetime:
        """The time that it shows, in UTC."""
        return dt.datetime.fromtimestamp(wall(), dt.UTC)

    def interrupt_at(self, place: str, when: interrupts.When = "unsaved") -> None:
        """End the next task that comes by a place as a crash of its worker would, once.

        The task runs again, as after a crash. Its ``finally`` blocks run, which a crash
        leaves out.

        Args:
            place: the name of a step of a durable task (``qcore-flows``).
            when: "before" the step is done; "unsaved": it is done, and that is not stored
                yet; "after" that is stored.
        """
        interrupts.interrupt_at(place, when)

    def advance(self, *, raises: bool = True, **duration: float) -> Counts:
        """Let time pass, and run everything that falls due, each at its moment.

        Tasks run in this process, with their hooks, links and schedules. A task that fails
        and has attempts left comes again after its ``backoff`` or, without one, when its
        lease is over (setting ``retry``), as in a cluster. So does one that snoozes.

        Args:
            raises: raise what a task raised on its last attempt, with the rest still to
                come.
            duration: as of ``datetime.timedelta``: ``days=14``, ``seconds=30``.

        Returns:
            How many tasks succeeded, failed and expired. An attempt that is followed by
            another one counts as failed, too.

        Raises:
            ValueError: the time would go back.
            AssertionError: there is no end to it: a task fails and is retried for ever.
            Exception: what a task raised.
        """
        seconds = dt.timedelta(**duration).total_seconds()
        if seconds < 0:
            raise ValueError(f"the clock cannot go back: {duration}")
        end = Clock.offset + seconds
        counts = Counts()
        for _ in range(MOST):
            self._run_due(counts, raises=raises)
            ahead = self._ahead()
            if ahead is None or Clock.offset + ahead > end:
                break
            Clock.offset = min(end, Clock.offset + max(ahead, _STEP))
        else:
            raise AssertionError(
                f"{MOST:,} moments were due and there are still more. Does a task fail"
                " and come again for ever? Give it max_attempts."
            )
        Clock.offset = end
        self._run_due(counts, raises=raises)
        return counts

    def _run_due(self, counts: Counts, *, raises: bool) -> None:
        scheduler = current.scheduler
        for _ in range(MOST):
            if scheduler.tick() > 0:
                break
        relay = self._relay()
        for _ in range(MOST):
            if relay is None or relay.tick() > 0:
                break
        drain(self._queue, raises=raises, retries=True, counts=counts)

    def _ahead(self) -> float | None:
        """Return the seconds until something is due; None: nothing is."""
        relay = self._relay()
        due = (
            current.broker(self._queue).ahead(),
            current.scheduler.next_due(),
            None if relay is None else relay.next_due(),
        )
        return min((one for one in due if one is not None), default=None)

    def _relay(self) -> Any:
        """Return what sends the packages in the outbox; None: there is no outbox."""
        outbox = current.outbox
        if outbox is None or not outbox.is_usable:
            return None
        conf = current.conf
        if self._queue is not None:
            conf = msgspec.structs.replace(conf, cluster_name=self._queue)
        return _RELAY.load()(conf)
