"""The tasks, as every peer runs them."""

from work import noop, sleep10, sleep100, sleep3000

__all__ = ["noop", "sleep10", "sleep100", "sleep3000"]
