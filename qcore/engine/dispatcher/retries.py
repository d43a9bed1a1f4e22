"""Runs in: the recorder. What becomes of a delivery once its result is stored.

The worker has judged what the task raised (``tasks.retry_policy``). What has no worker to
judge it, a crash or a kill, is judged here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec

from ...backoff import wait_after
from ...brokers.base import Broker
from ...conf import Conf
from ...envelope import NEVER_AGAIN, UNTOLD, Outcome, Result, choose
from ...settled import suspended_by
from ...tasks.outgoing import can_delay
from ..services import Services
from .job import Job, LedgerPart, Move

logger = logging.getLogger("qcore.recorder")


class Decision(Enum):
    """What to do with a delivery."""

    DONE = "done"  # acknowledge it
    AT_ONCE = "at once"  # give it back, to be tried again now
    LATER = "later"  # leave it, to be presented again after its lease
    AFTER = "after"  # give it back, to be presented again after ``job.again`` seconds
    MOVE = "move"  # send the task again as a new package, and acknowledge it
    SUPERSEDED = "superseded"  # acknowledge it: another package of the task counts


def decide(result: Result, crashes: int, conf: Conf, how: str = "") -> Decision:
    """Return what becomes of a delivery; LATER where the task is to be tried again.

    Args:
        result: of this attempt.
        crashes: how many attempts of the task killed their worker, this one included.
        conf: the cluster's settings.
        how: what the worker has said: see ``Attempt.how``.
    """
    options = result.task.options
    if result.success or result.outcome in NEVER_AGAIN:
        return Decision.DONE
    if result.outcome in UNTOLD:
        return Decision.LATER
    limit = choose(options.max_attempts, conf.max_attempts)
    if how == "dead" or (limit and result.attempt >= limit):
        return Decision.DONE
    if result.outcome == Outcome.CRASH:
        # the cap holds whatever max_attempts says: a task that kills its worker
        # would otherwise take the whole cluster down, for ever
        return Decision.DONE if crashes >= conf.max_crashes else Decision.AT_ONCE
    if how != "retry" and choose(options.ack_failure, conf.ack_failures):
        return Decision.DONE
    return Decision.LATER


#: Deliveries after which a package that release 2.0 cannot read is replaced by a new one:
#: half of those after which a cluster of that release puts it into the quarantine.
WORN = 10


class Retries:
    """Chooses the way in which a task comes again.

    Args:
        services: what the cluster is made of.
    """

    def __init__(self, services: Services) -> None:
        self._conf = services.conf
        self._sign = services.sign

    def choose_way(
        self, job: Job, broker: Broker, *, has_ledger: Callable[[], bool]
    ) -> Decision:
        """Return how a task comes again that has failed and is tried again.

        A wait that is no longer than the lease, on a broker that can delay a delivery, needs
        no new package. A snooze does: the broker would count the attempt.

        Args:
            job: with its result; its wait and its new package are noted on it.
            broker: that has its delivery.
            has_ledger: tells whether a new package can be written. It may wait for a
                database, so it is asked only where that decides.
        """
        assert job.ended is not None
        if job.ended.outcome == Outcome.SUSPENDED:
            return self._suspend(job)
        wait = job.ended.again
        if wait is None:
            policy = choose(job.task.options.backoff, self._conf.backoff)
            wait = wait_after(policy, 1 if job.ended.fresh else job.attempt)
        if wait is None:
            return Decision.LATER
        job.again = wait
        may_release = broker.supports_release and broker.supports_delay
        is_snoozed = job.ended.outcome == Outcome.SNOOZED
        is_short = wait <= self._conf.retry and may_release
        # the broker would go on with its own count
        counts_anew = (job.ended.fresh and job.attempt > 1) or _is_worn(job)
        if is_short and not is_snoozed and not counts_anew:
            return Decision.AFTER
        if has_ledger():
            runs = 1 if job.ended.fresh else job.attempt
            if self._move(job, wait, runs - is_snoozed):
                return Decision.MOVE
        elif is_short:
            return Decision.AFTER
        if may_release and can_delay(broker, wait):
            return Decision.AFTER
        logger.warning(
            "%s comes again after its lease, and not after %.0f s: there is no ledger to"
            " keep it in. Run: python manage.py migrate",
            job.task.id, wait,
        )  # fmt: skip
        job.again = None
        return Decision.LATER

    def _suspend(self, job: Job) -> Decision:
        """Return how a task comes again that waits for a plugin to wake it."""
        assert job.ended is not None
        job.again = job.ended.again
        holder = suspended_by(job.ended.how)
        # it has started in time
        # without the ledger, the job waits for that: nothing else can keep its package
        moved = self._move(job, job.ended.again, 0, holder, expires=None)
        return Decision.MOVE if moved else Decision.LATER

    def _move(
        self,
        job: Job,
        wait: float | None,
        runs: int,
        held_by: str | None = None,
        **changes: Any,
    ) -> bool:
        """Make the next package of a task; return whether that was possible."""
        task = job.task
        following = msgspec.structs.replace(
            task, gen=task.gen + 1, relayed=True, **changes
        )
        try:
            package = self._sign(following)
        except Exception:  # a few bytes too many, perhaps: it runs again all the same
            logger.exception("%s cannot be sent again as a new package", task.id)
            return False
        job.ledger = job.ledger or LedgerPart()
        job.ledger.move = Move(package, wait, runs, held_by)
        return True


def _is_worn(job: Job) -> bool:
    """Whether a cluster of release 2.0 would soon take the package for one of nobody."""
    return job.delivery.attempt >= WORN and job.task.is_bound
