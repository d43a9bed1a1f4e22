"""The term of a wait: how long it lasts, and what it gives when it is over."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Self

from .memory import Remembered
from .moments import seconds_of
from .values import Value, encode
from .words import RAISE, TOO_LATE


@dataclass(frozen=True, slots=True)
class Term:
    """What a caller has said of the end of a wait.

    Args:
        seconds: from the first call; None: as long as it takes.
        default: what is stored when they are over; None: nothing is, and the call raises.
    """

    seconds: float | None
    default: Value | None

    @classmethod
    def of(cls, timeout: dt.timedelta | float | None, default: Any, name: str) -> Self:
        """Read the arguments of a call.

        Args:
            timeout: seconds or a timedelta; None: as long as it takes.
            default: anything that can be stored, or ``RAISE``.
            name: of the wait, for errors.

        Raises:
            StepError: the timeout is none, or the default cannot be stored.
        """
        return cls(
            None if timeout is None else seconds_of(timeout, "timeout in seconds"),
            None if default is RAISE else encode(default, f"the default of {name!r}"),
        )

    def due(self, known: Remembered | None, now: float) -> float | None:
        """Return when the wait is over, in seconds since the epoch; None: never.

        Args:
            known: what is stored of the wait: its moment stays.
            now: seconds since the epoch.
        """
        if known is not None:
            return known.due
        return None if self.seconds is None else now + self.seconds

    def over(self) -> dict[str, Any]:
        """Return the columns of a wait that has ended by its term."""
        if self.default is None:
            return {"content": TOO_LATE}
        return {"content": self.default.content, "value": self.default.data}
