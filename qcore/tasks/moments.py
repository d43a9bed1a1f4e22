"""Moments: when a task may start, and until when it must have started.

Options name a moment itself, or seconds from the call. A package carries the moment until
which its task must have started, in seconds since the epoch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ..clock import wall
from ..envelope import Attempt, Outcome, Task
from ..errors import EnqueueError


def delay_of(options: Mapping[str, Any]) -> float:
    """Return the seconds before a task may start, as its checked options say."""
    after = options.get("run_after")
    if after is None:
        return options.get("delay") or 0
    if isinstance(after, dt.datetime):
        return max(0.0, after.timestamp() - wall())
    seconds: float = after.total_seconds()
    return seconds


def expires_at(expires: float | dt.datetime, created: float) -> float:
    """Return the moment until which a task must have started, in seconds since the epoch.

    Args:
        expires: the checked option: seconds after the call, or a moment.
        created: when the call was made, in seconds since the epoch.
    """
    if isinstance(expires, dt.datetime):
        return expires.timestamp()
    return created + expires


def check_moments(options: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other about when a task may start.

    Args:
        options: checked one by one.

    Raises:
        EnqueueError: the task could not start before it expires.
    """
    expires = options.get("expires")
    if expires is None:
        return
    delay = delay_of(options)
    now = wall()
    if delay and expires_at(expires, now) <= now + delay:
        word = "delay" if options.get("delay") else "run_after"
        raise EnqueueError(
            f"option 'expires' is {expires!s}: the task would expire before it may start,"
            f" for {word!r} is {options[word]!s}. Seconds of both count from the call."
        )


def expired(task: Task) -> Attempt | None:
    """Return the end of a task that may not start any more; None: it may."""
    if task.expires is None:
        return None
    now = wall()
    if now < task.expires:
        return None
    moment = dt.datetime.fromtimestamp(task.expires, dt.UTC)
    text = f"TaskExpired: it had not started by {moment:%Y-%m-%d %H:%M:%S} UTC"
    return Attempt.failed(Outcome.EXPIRED, text, now, now)
