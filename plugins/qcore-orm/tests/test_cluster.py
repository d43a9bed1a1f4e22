"""A real cluster on a database: its parts die, the server too, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qcore.testing import ClusterContract


class TestSQLite(ClusterContract):
    """In the file that has the results, too: one transaction ends a task."""

    lease = 2

    @pytest.fixture
    def q_cluster(self) -> dict[str, object]:
        return {"orm": "default"}


class TestPostgres(ClusterContract):
    """On a server, while the results are somewhere else."""

    lease = 2
    heals_at_once = False  # Django connects anew for the call after the one that failed

    @pytest.fixture
    def database(self, make_database: Callable[[str], Any], unblocked: None) -> Any:
        return make_database("postgres")

    @pytest.fixture
    def q_cluster(self, database: Any) -> dict[str, object]:
        return {"orm": database.alias}

    @pytest.fixture
    def databases(self, database: Any) -> dict[str, dict[str, Any]]:
        return {database.alias: database.server.database()}

    @pytest.fixture
    def restart_service(self, database: Any) -> Callable[[bool], None]:
        return database.server.restart
