"""Runs in: the relay, a thread of the dispatcher. Lets the relay of the outbox tick.

Plugins sweep their own tables in the same thread.
"""

from __future__ import annotations

import random

from ..services import Services, Ticking
from .guard import Guard, close, pause
from .state import SharedState

#: Seconds between two ticks at most, and at least.
_LONGEST, _SHORTEST = 30.0, 0.02
#: Seconds after which the first tick comes at the latest: clusters that start together
#: must not ask together.
_FIRST = 0.5


class Relaying:
    """Calls ``tick`` whenever the relay, or the sweeps, said that something is due."""

    def __init__(self, services: Services, shared: SharedState) -> None:
        self._services = services
        self._shared = shared
        self._guard = Guard("relay", shared)

    def run(self) -> None:
        """Tick until the cluster stops; end at once where there is nothing to tick."""
        # the sweeps first: they raise nothing, and go on while the broker is away
        makers = [self._services.make_sweeps, self._services.make_relay]
        ticking: list[Ticking] = []
        rest = random.uniform(0, _FIRST)  # noqa: S311 - no secret
        while not pause(self._shared.stopping, rest):
            try:
                while makers:
                    if (one := makers[0]()) is not None:
                        ticking.append(one)
                    del makers[0]
                if not ticking:
                    return
                rest = min(one.tick() for one in ticking)
                rest = min(_LONGEST, max(_SHORTEST, rest))
            except BaseException as error:  # noqa: BLE001 - brokers are a stranger's code
                self._guard.wait_out(error)
            else:
                self._guard.over()
        for one in ticking:
            close(one, "relay")
