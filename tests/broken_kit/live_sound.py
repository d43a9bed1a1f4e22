"""The control: the contract of live clusters on a broker without a fault."""

from __future__ import annotations

from broken_kit import live


class TestSound(live.Case):
    kind = live.Sound
