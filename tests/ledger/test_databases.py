"""The tests of the outbox, once more on PostgreSQL and on MariaDB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ["test_outbox.py", "test_sending.py", "test_doctor.py"]


@pytest.mark.slow
@pytest.mark.fault("C13")
@pytest.mark.skipif(
    os.environ.get("QCORE_TEST_DB", "sqlite") != "sqlite",
    reason="these tests run on that database already",
)
@pytest.mark.parametrize("database", ["postgres", "mariadb"])
def test_all_of_it_on_another_database(request: pytest.FixtureRequest, database: str):
    server = request.getfixturevalue(f"{database}_server")
    own = {"QCORE_TEST_DB": database, "QCORE_TEST_DB_PORT": str(server.port)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [str(HERE / name) for name in FILES],
        env=os.environ | own,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
