"""The tests of what is stored and fired, once more on PostgreSQL and on MariaDB.

The pages of the admin ask the same tables, through Django alone: the session ``databases``
runs them on both servers, with everything else that uses a database.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.other_database import on_sqlite_only, run_on

HERE = Path(__file__).parent
FILES = {
    "store": ["test_models.py", "test_store_contract.py", "test_store_orm.py"],
    "scheduler": ["test_scheduler.py", "test_declared_schedules.py"],
}


@pytest.mark.service
@pytest.mark.once
@pytest.mark.timeout(600)
@on_sqlite_only
@pytest.mark.parametrize("database", ["postgres", "mariadb"])
@pytest.mark.parametrize("part", FILES)
def test_all_of_it_on_another_database(
    request: pytest.FixtureRequest, database: str, part: str
):
    run_on(request, database, [HERE / name for name in FILES[part]])
