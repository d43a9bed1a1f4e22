"""Fixtures of live clusters, shared with tests/contract."""

from __future__ import annotations

import chores.unhurried  # noqa: F401
from live_fixtures import _migrated, _start, cluster, database, key, ledger, start

__all__ = ["_migrated", "_start", "cluster", "database", "key", "ledger", "start"]
