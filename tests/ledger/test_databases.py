"""The tests of the ledger, once more on PostgreSQL and on MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.other_database import on_sqlite_only, run_on

HERE = Path(__file__).parent
FILES = [
    "test_outbox.py", "test_sending.py", "test_doctor.py", "test_tickets.py",
    "test_settling.py", "test_retries.py", "test_pauses.py", "test_features.py",
    "test_settling_features.py", "test_cancelling.py", "test_iter_completion.py",
    "test_iter_sending.py",
]  # fmt: skip


@pytest.mark.service
@pytest.mark.once
@pytest.mark.timeout(600)
@pytest.mark.fault("C13")
@on_sqlite_only
@pytest.mark.parametrize("database", ["postgres", "mariadb"])
def test_all_of_it_on_another_database(request: pytest.FixtureRequest, database: str):
    run_on(request, database, [HERE / name for name in FILES])
