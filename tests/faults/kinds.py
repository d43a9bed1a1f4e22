"""The kinds of tasks that a soak sends, and how each must end."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from faults.judge import End

from qcore.envelope import Outcome

#: Bytes of a result that Redis does not take, see ``faults.poison``.
TOO_LARGE = 1_300_000
#: Stands for more seconds than a lease has: the task is sent again as a new package.
LATE = math.inf
#: Seconds of a task that is cancelled while it runs, unless nobody can cancel it.
LINGERS = 25.0

SUCCESS = End(frozenset({Outcome.SUCCESS}))
FAILURE = End(frozenset({Outcome.FAILURE, Outcome.CRASH}))
ENDED = End(frozenset({Outcome.TIMEOUT, Outcome.CRASH}))
CRASH = End(frozenset({Outcome.CRASH}))
REFUSED = End(frozenset({Outcome.FAILURE}), "the result cannot be stored")
#: What became of the cancelling decides, see ``faults.asked``.
CANCELLED = End(frozenset({Outcome.SUCCESS, Outcome.CANCELLED}))


class Kind(NamedTuple):
    """What a task of the load does, and how it must end.

    ``FAILURE``, ``ENDED``: where its worker dies by another fault, it is a crash.
    """

    call: str
    weight: float
    end: End
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    tells_pid: bool = False  # its result is the pid of its worker
    harmless: bool = True  # no process dies of it but its worker
    runs: int = 0  # so many where nothing disturbs it; 0: nobody counts
    attempts: int = 0  # of them, those that count for max_attempts
    wait: float = 0  # seconds between two of them at least
    delay: float = 0  # seconds before it may begin
    in_transaction: bool = False  # so it goes through the outbox
    cancelled: float | None = None  # so many seconds after it was sent, at most

    @property
    def waits(self) -> float:
        """Seconds that it waits at least until it has ended."""
        return self.delay + self.wait * max(0, self.runs - 1)

    def late(self, seconds: float) -> Kind:
        """Return it with so many seconds in the place of LATE."""
        args = tuple(seconds if arg == LATE else arg for arg in self.args)
        return self._replace(
            args=args, wait=seconds if self.wait == LATE else self.wait
        )


#: By the names that the report has.
KINDS = {
    "work": Kind("work", 70, SUCCESS, tells_pid=True),
    "cached": Kind("work", 10, SUCCESS, options={"cached": True}, tells_pid=True),
    "failing": Kind("fail", 5, FAILURE, options={"max_attempts": 2}),
    "crashing once": Kind("crash_once", 2, SUCCESS, tells_pid=True),
    "bulky": Kind("bulky", 4, SUCCESS, (200_000,)),
    "bulky, cached": Kind("bulky", 1, SUCCESS, (200_000,), {"cached": True}),
    "forking": Kind("fork_back", 4, SUCCESS, tells_pid=True),
    "closing descriptors": Kind("close_link", 1, ENDED, options={"max_attempts": 1}),
    "the same, unseen": Kind(
        "hold_link", 0.7, ENDED, options={"max_attempts": 1, "timeout": 1}
    ),
    "poison": Kind("poison", 1.5, REFUSED),
    "poison, cached": Kind("bulky", 0.5, REFUSED, (TOO_LARGE,), {"cached": True}),
    "killing two clusters": Kind(
        "kill_cluster", 0.1, SUCCESS, (2,), tells_pid=True, harmless=False
    ),
    "killing each cluster": Kind("kill_cluster", 0, CRASH, (10**6,), harmless=False),
    # what the ledger is for
    "retried": Kind(
        "retry", 3, SUCCESS, (2, 0.5), tells_pid=True, runs=3, attempts=3, wait=0.5
    ),
    "retried late": Kind(
        "retry", 1.5, SUCCESS, (1, LATE), tells_pid=True, runs=2, attempts=2, wait=LATE
    ),
    "backing off": Kind(
        "fail", 3, FAILURE, options={"max_attempts": 3, "backoff": 0.5},
        runs=3, attempts=3, wait=0.5,
    ),
    "snoozed": Kind(
        "snooze", 3, SUCCESS, (2, 1.0), tells_pid=True, runs=3, attempts=1, wait=1.0
    ),
    "in a transaction": Kind("work", 5, SUCCESS, tells_pid=True, in_transaction=True),
    "delayed": Kind("work", 2, SUCCESS, tells_pid=True, delay=9),
    "delayed, in a transaction": Kind(
        "work", 2, SUCCESS, tells_pid=True, delay=9, in_transaction=True
    ),
    "cancelled early": Kind("work", 1, CANCELLED, delay=9, cancelled=0.5),
    "cancelled, in a transaction": Kind(
        "work", 1, CANCELLED, delay=9, in_transaction=True, cancelled=0.5
    ),
    "cancelled in the outbox": Kind("snooze", 1.5, CANCELLED, (1, 9.0), cancelled=4.0),
    "cancelled at once": Kind("work", 1.5, CANCELLED, cancelled=0.1),
    "cancelled in its run": Kind("linger", 1, CANCELLED, (LINGERS,), cancelled=3.0),
}  # fmt: skip
