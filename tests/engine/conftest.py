"""Fixtures of live clusters, shared with tests/contract; and the check of every job."""

from __future__ import annotations

import chores.unhurried  # noqa: F401
import pytest
from live_fixtures import _migrated, _start, cluster, database, key, ledger, start

__all__ = ["_migrated", "_start", "cluster", "database", "key", "ledger", "start"]


@pytest.fixture(autouse=True)
def _only_transitions_of_the_table(monkeypatch):
    """Fail where a job goes from a state to another one that the table does not have."""
    illegal = []
    monkeypatch.setattr(
        "qcore.engine.dispatcher.job.report_illegal",
        lambda id, source, target: illegal.append(f"{source} -> {target}"),
    )
    yield
    assert illegal == []
