"""Runs test files once more, in a process of their own, on PostgreSQL or MariaDB."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: For tests that do so: only where the run itself is on SQLite.
on_sqlite_only = pytest.mark.skipif(
    os.environ.get("QCORE_TEST_DB", "sqlite") != "sqlite",
    reason="these tests run on that database already",
)


def run_on(
    request: pytest.FixtureRequest, database: str, files: Iterable[Path]
) -> None:
    """Run test files on a server of this run; fail with their output where they fail.

    Args:
        request: of the test that does so.
        database: "postgres" or "mariadb".
        files: what is run.
    """
    server = request.getfixturevalue(f"{database}_server")
    own = {"QCORE_TEST_DB": database, "QCORE_TEST_DB_PORT": str(server.port)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [str(path) for path in files],
        env=os.environ | own,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
