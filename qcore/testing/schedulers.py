"""The names that the tests of a scheduler import; ``qcore.testing`` has these names, too.

The template of version 2.0.0 has imported the names from here.
"""

from __future__ import annotations

from .contracts.schedulers import MakeScheduler, SchedulerContract, Sent

__all__ = ["MakeScheduler", "SchedulerContract", "Sent"]
