"""Fixtures of live clusters, shared with tests/engine, and a broker of a project's own."""

from __future__ import annotations

import sys

import pytest
from live_fixtures import _migrated, _start, cluster, database, key, ledger, start

from qcore.testing.fixtures import qcore_queue

__all__ = [
    "_migrated", "_start", "cluster", "database", "key", "ledger", "qcore_queue", "start",
]  # fmt: skip


@pytest.fixture
def custom_class(tmp_path, monkeypatch):
    """``myapp.broker.CustomBroker``, which the example names."""
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "broker.py").write_text(
        "from qcore_orm.broker import OrmBroker\n\n\n"
        "class CustomBroker(OrmBroker):\n"
        "    def info(self):\n"
        '        return "of our own making"\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "myapp.broker.CustomBroker"
    for name in ("myapp", "myapp.broker"):
        sys.modules.pop(name, None)
