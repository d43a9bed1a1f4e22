"""A dashboard in Django's admin: what runs, what waits, what fails, and why.

Add ``"qcore_dashboard"`` to ``INSTALLED_APPS``. The pages of this plugin come in by the hook
that every plugin can use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcore import hookimpl

if TYPE_CHECKING:
    from qcore import Conf, Result
    from qcore.pages import Page
    from qcore.status import Snapshot

    from .recorder import Recorder

#: The recorder of this process; only a dispatcher has one.
_running: dict[str, Recorder] = {}


@hookimpl
def qcore_dashboard_pages() -> list[Page]:
    """Return the pages that come with the dashboard."""
    from .contents import PAGES

    return PAGES


@hookimpl
def qcore_process_started(role: str, conf: Conf) -> None:
    """Count in the dispatcher, which all results of a cluster pass."""
    from django.apps import apps

    if role == "dispatcher" and apps.is_installed("qcore_dashboard"):
        from .recorder import Recorder

        _running["recorder"] = Recorder(conf.queue)


@hookimpl
def qcore_results_recorded(results: Sequence[Result]) -> None:
    """Count how attempts have ended."""
    if recorder := _running.get("recorder"):
        recorder.add(results)


@hookimpl
def qcore_snapshot_taken(snapshot: Snapshot) -> None:
    """Write the counts of what has ended a while ago, where nothing else ends."""
    if recorder := _running.get("recorder"):
        recorder.write_rest()


@hookimpl
def qcore_process_stopping(role: str) -> None:
    """Write the last counts."""
    if recorder := _running.pop("recorder", None):
        recorder.write_rest(at_once=True)
