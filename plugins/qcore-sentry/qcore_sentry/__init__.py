"""Reports failed tasks of qcore to Sentry, each with the breadcrumbs of its own run."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from qcore import Provider, Setting, hookimpl

if TYPE_CHECKING:
    from qcore import NewTask
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


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the reporter reads of Q_CLUSTER."""
    return [
        Setting(
            "error_reporter.sentry",
            dict[str, Any],
            "Options of sentry_sdk.init; 'dsn' says where failures go.",
            keys=(
                Setting(
                    "dsn",
                    str | None,
                    "The address of a project, as Sentry shows it under Client Keys.",
                    secret=True,
                ),
                Setting(
                    "environment",
                    str | None,
                    "The fields by which events are told apart.",
                ),
                Setting("release", str | None, "The release of the project."),
                Setting(
                    "check_ins",
                    bool,
                    "True makes each run of a schedule a check-in of the monitor that"
                    " has the name of the schedule. It is no option of sentry_sdk.",
                    default=False,
                ),
            ),
            other_keys=True,
            secret=True,
            group="results",
        ),
    ]


def _is_off() -> bool:
    """Whether nobody has initialised sentry_sdk here; it is not loaded for that."""
    driver = sys.modules.get("sentry_sdk")
    return driver is None or not driver.is_initialized()


@hookimpl
def qcore_before_send(tasks: Sequence[NewTask]) -> None:
    """Record that tasks are sent, and give each the context of its trace."""
    if _is_off():
        return
    from .sending import publish

    publish(tasks)


@hookimpl(wrapper=True)
def qcore_run_task(task: Task) -> Generator[None, Any, Any]:
    """Keep what Sentry notes of a task apart from all other tasks."""
    if _is_off():
        return (yield)
    from .running import running

    with running(task):
        return (yield)


@hookimpl(wrapper=True)
def qcore_run_hook(task: Task) -> Generator[None, Any, Any]:
    """Keep what Sentry notes of a task's hook apart from all tasks and other hooks."""
    if _is_off():
        return (yield)
    from .running import hooked

    with hooked(task):
        return (yield)
