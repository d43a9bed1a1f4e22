"""The modules of tasks, imported before a cluster forks.

A module that is imported there is in memory once, and no worker waits for it at its first
task.
"""

from __future__ import annotations

from ..tasks import discovery


def preload() -> list[BaseException]:
    """Import the module ``tasks`` of each installed app.

    A module that cannot be imported is told of and left out: its tasks will fail with the
    same error, and those of the others go on.

    Returns:
        What the modules have raised that cannot be imported.
    """
    return list(discovery.load_all().values())
