"""The tests of durable steps, once more on PostgreSQL and on MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.other_database import on_sqlite_only, run_on

HERE = Path(__file__).parent


@pytest.mark.service
@pytest.mark.once
@pytest.mark.timeout(300)
@on_sqlite_only
@pytest.mark.parametrize("database", ["postgres", "mariadb"])
def test_all_of_it_on_another_database(request: pytest.FixtureRequest, database: str):
    names = ("steps", "spawning", "resuming", "emitting")
    run_on(request, database, [HERE / f"test_{name}.py" for name in names])
