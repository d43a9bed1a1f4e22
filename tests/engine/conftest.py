"""Fixtures of live clusters, shared with tests/contract; and a look at every job."""

from __future__ import annotations

from collections.abc import Iterator

import chores.unhurried  # noqa: F401
import pytest
from live_fixtures import _migrated, _start, cluster, database, key, ledger, start
from support.transitions import Transitions, watch_transitions

__all__ = ["_migrated", "_start", "cluster", "database", "key", "ledger", "start"]


@pytest.fixture(autouse=True)
def transitions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transitions]:
    """What the jobs of a test do; it fails where one does what it may not."""
    watched = watch_transitions(monkeypatch)
    yield watched
    assert watched.wrong == []
