"""Pages for the dashboard of qcore: batches and graphs, and durable tasks.

What they import needs Django; so each is imported when somebody looks at it.
"""

from __future__ import annotations

from qcore.pages import Action, Page

_HERE = "qcore_flows.pages"
_CANCEL, _AGAIN = "qcore.cancel_task", "qcore.resubmit_task"

PAGES = [
    Page(
        "flows",
        "Flows",
        f"{_HERE}.flows:look",
        "qcore_flows/flows.html",
        "qcore_flows.view_flowrow",
        (
            Action("cancel", f"{_HERE}.flows:cancel", _CANCEL),
            Action("retry", f"{_HERE}.flows:retry", _AGAIN),
        ),
        order=110,
        has_parts=True,
    ),
    Page(
        "runs",
        "Durable tasks",
        f"{_HERE}.runs:look",
        "qcore_flows/runs.html",
        "qcore_flows.view_run",
        (
            Action("cancel", f"{_HERE}.runs:cancel", _CANCEL),
            Action("resume", f"{_HERE}.runs:resume", _AGAIN),
        ),
        order=120,
        has_parts=True,
    ),
]
