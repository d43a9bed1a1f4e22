"""Schedules: what is sent at set times, declared in code or stored by hand.

::

    from qcore.schedules import cron, every

    @cron("0 3 * * *", tz="Europe/Paris")
    def clean_up(): ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .declared import cron as cron
    from .declared import every as every

__all__ = ["cron", "every"]


def __getattr__(name: str) -> Any:
    # on first use: the rules of schedules need nothing of tasks
    if name not in __all__:
        raise AttributeError(f"module 'qcore.schedules' has no attribute {name!r}")
    return getattr(import_module(".declared", __name__), name)
