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

        _running["recorder"] = recorder = Recorder(conf.queue)
        recorder.start()


@hookimpl
def qcore_results_recorded(results: Sequence[Result]) -> None:
    """Count how attempts have ended."""
    if recorder := _running.get("recorder"):
        recorder.add(results)


@hookimpl
def qcore_process_stopping(role: str) -> None:
    """Write the last counts."""
    if recorder := _running.pop("recorder", None):
        recorder.stop()
