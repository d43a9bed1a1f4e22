"""A limit for the time that a block takes, by the timer of qcore."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from qcore.tasks.timeouts import soft_timeout

from .exceptions import TimeoutException

__all__ = ["TimeoutException", "TimeoutHandler"]


class TimeoutHandler:
    """Raises ``TimeoutException`` in a block that takes too long.

    Args:
        timeout: seconds; -1 and None set no limit.
    """

    def __init__(self, timeout: float | None) -> None:
        is_limit = timeout is not None and timeout > 0
        self._timer: AbstractContextManager[Any] = soft_timeout(
            timeout if is_limit else None
        )

    def __enter__(self) -> None:
        self._timer.__enter__()

    def __exit__(self, *error: object) -> bool | None:
        return self._timer.__exit__(*error)  # type: ignore[arg-type]
