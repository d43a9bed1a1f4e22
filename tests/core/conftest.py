"""Fixtures of the kit, as a project would take them in."""

from __future__ import annotations

import chores.unhurried  # noqa: F401

from qcore.testing.fixtures import qcore_inline, qcore_live, qcore_queue

__all__ = ["qcore_inline", "qcore_live", "qcore_queue"]
