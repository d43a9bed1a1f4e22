"""A real receiver of Sentry's events takes them, and groups them as is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from servers.bugsink import BugsinkServer
from shared_fixtures import run_server

from qcore.testing.contracts.failures import make_report, raised, raised_elsewhere

if TYPE_CHECKING:
    from qcore_sentry.reporter import SentryReporter

    OpenReporter = Callable[..., SentryReporter]


@pytest.fixture(scope="module")
def bugsink() -> Iterator[BugsinkServer]:
    yield from run_server("bugsink", BugsinkServer)


@pytest.mark.slow
def test_a_real_receiver_takes_and_groups_them(
    bugsink: BugsinkServer, open_reporter: OpenReporter
) -> None:
    reporter = open_reporter(dsn=bugsink.make_project())
    other = {"func": "shop.tasks.other"}
    dead = {"outcome": "crash", "message": "WorkerDied: killed by SIGKILL"}
    reports = [
        make_report(raised(ValueError("one"))),
        make_report(raised(ValueError("one")), attempt=2),
        make_report(raised_elsewhere(KeyError("two")), **other),
        make_report(None, **dead),
        make_report(None, **dead, attempt=2),
        make_report(None, **dead, **other),
    ]
    for report in reports:
        reporter.report(report)
    reporter.flush(20)
    found = {e["tags"]["qcore.task_id"]: (i, e) for i, e in bugsink.events()}
    assert set(found) == {report.task_id for report in reports}
    issues = [found[report.task_id][0] for report in reports]
    assert issues[0] == issues[1]
    assert issues[3] == issues[4]
    assert len(set(issues)) == 4
    event = found[reports[0].task_id][1]
    assert event["transaction"] == reports[0].func
    assert event["contexts"]["task"]["name"] == reports[0].task_name
