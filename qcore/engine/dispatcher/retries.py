"""Runs in: the recorder. What becomes of a delivery once its result is stored."""

from __future__ import annotations

from enum import Enum

from ...conf import Conf
from ...envelope import Outcome, Result, choose

#: Outcomes of tasks that end without a run, for good.
NEVER_RUN = frozenset({Outcome.EXPIRED, Outcome.REPLACED})


class Decision(Enum):
    """What to do with a delivery."""

    DONE = "done"  # acknowledge it
    AT_ONCE = "at once"  # give it back, to be tried again now
    LATER = "later"  # leave it, to be presented again after its lease
    SUPERSEDED = "superseded"  # acknowledge it: another package of the task counts


def decide(result: Result, crashes: int, conf: Conf) -> Decision:
    """Return what becomes of a delivery.

    Args:
        result: of this attempt.
        crashes: how many attempts of the task killed their worker, this one included.
        conf: the cluster's settings.
    """
    options = result.task.options
    if result.success or result.outcome in NEVER_RUN:
        return Decision.DONE
    limit = choose(options.max_attempts, conf.max_attempts)
    if limit and result.attempt >= limit:
        return Decision.DONE
    if result.outcome == Outcome.CRASH:
        # the cap holds whatever max_attempts says: a task that kills its worker
        # would otherwise take the whole cluster down, for ever
        return Decision.DONE if crashes >= conf.max_crashes else Decision.AT_ONCE
    if choose(options.ack_failure, conf.ack_failures):
        return Decision.DONE
    return Decision.LATER
