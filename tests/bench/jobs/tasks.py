"""The tasks, as every peer runs them."""

from work import noop, sleep10, sleep100, sleep3000, until_cancelled

__all__ = ["noop", "sleep10", "sleep100", "sleep3000", "until_cancelled"]
