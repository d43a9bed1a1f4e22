"""The tests of what is stored, once more on PostgreSQL and on MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.other_database import on_sqlite_only, run_on

HERE = Path(__file__).parent
FILES = [
    "test_models.py",
    "test_store_contract.py",
    "test_store_orm.py",
    "test_scheduler.py",
    "test_admin.py",
    "test_admin_pages.py",
]


@pytest.mark.slow
@on_sqlite_only
@pytest.mark.parametrize("database", ["postgres", "mariadb"])
def test_all_of_it_on_another_database(request: pytest.FixtureRequest, database: str):
    run_on(request, database, [HERE / name for name in FILES])
