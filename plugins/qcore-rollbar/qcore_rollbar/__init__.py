"""Reports failed tasks of qcore to Rollbar."""

from __future__ import annotations

from qcore.hookspecs import hookimpl
from qcore.plugins import Provider


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
