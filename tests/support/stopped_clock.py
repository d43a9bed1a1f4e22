"""Time that stands still until a test moves it, for everything of qcore in this process."""

from __future__ import annotations

import selectors
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from qcore.engine.dispatcher.outages import Outage

if TYPE_CHECKING:
    import pytest


class StoppedClock:
    """What modules of qcore take for the module ``time``."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    time = monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class _Impatient(selectors.DefaultSelector):
    """Says what is there, and waits for nothing."""

    def select(self, timeout: float | None = None) -> Any:
        return super().select(0)


def stop_time(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    """Stop the clocks of qcore; its loop, its pusher and its outages wait no more.

    The clocks of the kit go on: a test that waits for a thread is patient, not endless.
    """
    clock = StoppedClock()
    for name, module in list(sys.modules.items()):
        is_ours = name.startswith("qcore.") and not name.startswith("qcore.testing.")
        if is_ours and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", clock)
    impatient = SimpleNamespace(**vars(selectors) | {"DefaultSelector": _Impatient})
    monkeypatch.setattr("qcore.engine.dispatcher.loop.selectors", impatient)
    monkeypatch.setattr("qcore.engine.dispatcher.pusher._WAIT", 0)
    monkeypatch.setattr(Outage, "wait_out", lambda self, error: None)
    monkeypatch.setattr(Outage, "failed", lambda self, error: 0.0)
    return clock
