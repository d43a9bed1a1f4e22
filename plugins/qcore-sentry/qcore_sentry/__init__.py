"""Reports failed tasks of qcore to Sentry, each with the breadcrumbs of its own run."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from qcore.hookspecs import hookimpl
from qcore.plugins import Provider

if TYPE_CHECKING:
    from qcore.envelope import Task


@hookimpl
def qcore_error_reporters() -> list[Provider]:
    """Name the reporter; sentry_sdk is imported when it is first used."""
    return [
        Provider(
            "sentry",
            "qcore_sentry.reporter:SentryReporter",
            claims=("error_reporter.sentry",),
        )
    ]


@hookimpl(wrapper=True)
def qcore_run_task(task: Task) -> Generator[None, Any, Any]:
    """Keep what Sentry notes of a task apart from all other tasks."""
    driver = sys.modules.get("sentry_sdk")
    if driver is None or not driver.is_initialized():
        return (yield)
    from .running import running

    with running(task):
        return (yield)
