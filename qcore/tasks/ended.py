"""Ended: whether a task whose record is stored is not run again."""

from __future__ import annotations

from typing import Any

from ..envelope import Outcome
from ..results.fingerprint import FAILED
from ..results.rows import options_from
from ..runtime import current


def is_over(record: Any) -> bool:
    """Whether a task that has not succeeded is not run again.

    A record of release 2.0, or of a store that keeps no ``final``, leaves that to the
    outcome and to the options of the task.

    Args:
        record: of its last attempt, as a store returns it.
    """
    if getattr(record, "final", False) or record.outcome not in FAILED:
        return True
    if getattr(record, "fingerprint", None) is not None:
        return False  # it was stored by who knew
    return is_given_up(record)


def is_dead(record: Any) -> bool:
    """Whether a task has failed for good.

    Args:
        record: of its last attempt, as a store returns it.
    """
    return not record.success and record.outcome in FAILED and is_over(record)


def is_given_up(record: Any) -> bool:
    """Whether a task that failed has no attempt left, by what its options say."""
    conf = current.conf
    options = options_from(getattr(record, "options", "") or "")
    limit, acknowledged = options.max_attempts, options.ack_failure
    if not isinstance(limit, int):
        limit = conf.max_attempts
    if not isinstance(acknowledged, bool):
        acknowledged = conf.ack_failures
    crashed = record.outcome == Outcome.CRASH
    return bool(limit and record.attempt_count >= limit) or (
        acknowledged and not crashed
    )
