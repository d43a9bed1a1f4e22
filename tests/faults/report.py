"""Writes down which rows of the table of faults a run of pytest has shown to hold.

::

    pytest -m "fault and not soak" --faults-report=tests/faults/record.json

Each test replaces what was written of it before. A row holds in a test when the test
passed with all of its parameters; one that was skipped says nothing. Tests that
no longer exist are dropped. Works with xdist: tests tell what they ran on in
their reports, and the process that started the workers writes.
"""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.table import ROOT, Seen, marks, read_record, write_record
from servers.base import LoopbackServer

import qcore

_ROWS, _SERVICES = "rows of the table of faults", "services"

#: What a fixture of this name says of where its test runs.
_FIXTURES = {"_migrated": "SQLite", "sqlite_file": "SQLite"}
_SERVERS = {
    "RedisServer": "Redis",
    "PostgresServer": "PostgreSQL",
    "MariaDBServer": "MariaDB",
    "MotoServer": "SQS",
    "MinistackServer": "SQS",
    "MongoServer": "MongoDB",
    "IronMQServer": "IronMQ",
    "DisqueServer": "Disque",
}
_DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}


class FaultsReport:
    """What pytest tells, and what becomes of it.

    Args:
        path: of the record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: (row, test) -> whether it passed, with each of its parameters
        self.outcomes: dict[tuple[str, str], set[bool]] = defaultdict(set)
        self.services: dict[tuple[str, str], set[str]] = defaultdict(set)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Note the rows of a test; they travel in its reports."""
        if rows := {row for mark in item.iter_markers("fault") for row in mark.args}:
            item.user_properties.append((_ROWS, sorted(rows)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Note what it runs on, while its fixtures stand."""
        item.user_properties.append((_SERVICES, sorted(set(services_of(item)))))
        yield

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what one phase of a test has come to."""
        told = dict(report.user_properties)
        test = report.nodeid.partition("[")[0]
        for row in told.get(_ROWS, ()):
            if report.failed:
                self.outcomes[row, test].add(False)
            elif report.passed and report.when == "call":
                self.outcomes[row, test].add(True)
                self.services[row, test] |= set(told[_SERVICES])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the record; in the process that has all reports."""
        if not hasattr(session.config, "workerinput"):
            self.write()

    def write(self) -> None:
        """Put what was seen in the place of what was written of the same tests."""
        version, commit = qcore.__version__, commit_here()
        date = datetime.now(UTC).date().isoformat()
        record = _still_marked(read_record(self.path))
        for (row, test), outcomes in self.outcomes.items():
            services = tuple(sorted(self.services[row, test]))
            seen = Seen(all(outcomes), services, version, commit, date)
            record.setdefault(row, {})[test] = seen
        write_record(record, self.path)


def _still_marked(record: dict[str, dict[str, Seen]]) -> dict[str, dict[str, Seen]]:
    kept: dict[str, dict[str, Seen]] = {}
    for row, tests in record.items():
        for test in tests.keys() & set(marks().get(row, ())):
            kept.setdefault(row, {})[test] = tests[test]
    return kept


def services_of(item: pytest.Item) -> Iterator[str]:
    """Yield what a test runs on, from the fixtures that stand around it."""
    for name, value in getattr(item, "funcargs", {}).items():
        if name in _FIXTURES:
            yield _FIXTURES[name]
        if name in ("db", "transactional_db"):
            yield _DATABASES[os.environ.get("QCORE_TEST_DB", "sqlite")]
        server = value if isinstance(value, LoopbackServer) else None
        server = server or getattr(value, "server", None)
        if server is not None and type(server).__name__ in _SERVERS:
            yield _SERVERS[type(server).__name__]
        if getattr(value, "kind", None) in _DATABASES:
            yield _DATABASES[value.kind]


def commit_here() -> str:
    """Return the commit of this checkout, or "" where there is none."""
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run(
        [*git, "rev-parse", "--short=10", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        return ""
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"],
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "")
