"""Runs in: the relay and the sweeps, threads of the dispatcher. Lets each of them tick.

Each plugin sweeps its own tables in a thread of its own: a sweep that hangs must keep
neither another plugin waiting nor what is due in the outbox.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ..services import Ticking
from .guard import Guard, close, pause
from .state import SharedState

#: Seconds between two ticks at most, and at least.
_LONGEST, _SHORTEST = 30.0, 0.02
#: Seconds after which the first tick comes at the latest: clusters that start together
#: must not ask together.
_FIRST = 0.5


class Relaying:
    """Calls ``tick`` whenever the relay, or a sweep, said that something is due.

    Args:
        who: the name of the thread.
        make: makes what ticks, in this thread; None: there is nothing to tick.
        shared: what the threads share.
        plugin: that sweeps in this thread, if one does.
    """

    def __init__(
        self,
        who: str,
        make: Callable[[], Ticking | None],
        shared: SharedState,
        plugin: str = "",
    ) -> None:
        self._who = who
        self._step = f"{who} {plugin}" if plugin else who
        self._make = make
        self._shared = shared
        self._guard = Guard(who, shared, plugin)

    def run(self) -> None:
        """Tick until the cluster stops; end at once where there is nothing to tick."""
        ticking: Ticking | None = None
        rest = random.uniform(0, _FIRST)  # noqa: S311 - no secret
        while not pause(self._shared.stopping, rest):
            try:
                if ticking is None and (ticking := self._make()) is None:
                    return
                with self._shared.steps.of(self._step):
                    rest = min(_LONGEST, max(_SHORTEST, ticking.tick()))
            except BaseException as error:  # noqa: BLE001 - brokers are a stranger's code
                self._guard.wait_out(error)
            else:
                self._guard.over()
        close(ticking, self._who)
