"""Runs in: the pusher. Remembers the tasks that need a plugin which this cluster lacks.

During a deploy, another cluster has the plugin already, or will have it soon. So such a
package is given back for a while, and is quarantined only after ten minutes.
"""

from __future__ import annotations

import time

from .state import SharedState

#: Seconds after which a task that still needs an absent plugin goes to the quarantine.
PATIENCE = 600.0
#: Seconds for which the status shows that plugins are absent after the last such task.
SHOWN = 120.0
#: Tasks that are remembered; the oldest ones are forgotten first, and begin anew.
_MOST = 10_000
#: Under this name, the status shows that plugins are absent.
_PROBLEM = "absent plugins"


class AbsentPlugins:
    """When each such task was seen first, on the monotonic clock.

    Args:
        shared: shows that there are such tasks.
        memory: seconds for which such tasks are remembered at least: one may come again
            only when its lease has ended.
    """

    def __init__(self, shared: SharedState, memory: float = 0.0) -> None:
        self._shared = shared
        self._memory = max(SHOWN, memory)
        self._first: dict[str, float] = {}
        self._last = 0.0

    def note(self, task_id: str, plugin: str) -> bool:
        """Note a task that needs an absent plugin; return whether it has waited too long."""
        now = self._last = time.monotonic()
        first = self._first.setdefault(task_id, now)
        while len(self._first) > _MOST:
            del self._first[next(iter(self._first))]
        self._shared.report_problem(
            _PROBLEM,
            f"tasks need the plugin {plugin!r}, which this cluster lacks; install it here,"
            " or let them go to the quarantine after ten minutes",
        )
        if now - first < PATIENCE:
            return False
        self._first.pop(task_id, None)
        return True

    def look(self) -> None:
        """Show the problem no more if no such task has come for a while."""
        if not self._last or (rest := time.monotonic() - self._last) <= SHOWN:
            return
        self._shared.clear_problem(_PROBLEM)
        if rest > self._memory:
            self._last = 0.0
            self._first.clear()
