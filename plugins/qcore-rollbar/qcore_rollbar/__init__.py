"""Reports failed tasks of qcore to Rollbar."""

from __future__ import annotations

from typing import Any

from qcore import Provider, Setting, hookimpl


@hookimpl
def qcore_error_reporters() -> list[Provider]:
    """Name the reporter; rollbar is imported when it is first used."""
    return [
        Provider(
            "rollbar",
            "qcore_rollbar.reporter:RollbarReporter",
            claims=("error_reporter.rollbar",),
        )
    ]


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the reporter reads of Q_CLUSTER."""
    return [
        Setting(
            "error_reporter.rollbar",
            dict[str, Any],
            "Options of rollbar.init; 'access_token' says where failures go.",
            keys=(
                Setting(
                    "access_token",
                    str | None,
                    "The token of a project with the scope post_server_item.",
                    secret=True,
                ),
                Setting(
                    "environment",
                    str | None,
                    "The fields by which items are told apart.",
                ),
            ),
            other_keys=True,
            secret=True,
            group="results",
        ),
    ]
