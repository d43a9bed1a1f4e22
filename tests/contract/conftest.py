"""Fixtures of live clusters, shared with tests/engine."""

from __future__ import annotations

from live_fixtures import _migrated, _start, cluster, database, key, ledger, start

__all__ = ["_migrated", "_start", "cluster", "database", "key", "ledger", "start"]
