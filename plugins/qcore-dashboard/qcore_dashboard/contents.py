"""The pages that come with the dashboard; what draws them is imported on first use."""

from __future__ import annotations

from qcore.pages import Action, Page

_HERE = "qcore_dashboard.pages"
_CONTROL, _CANCEL = "qcore.control_queue", "qcore.cancel_task"
_AGAIN, _SCHEDULE = "qcore.resubmit_task", "qcore.change_schedule"


def _page(
    slug: str,
    title: str,
    order: int,
    permission: str = "",
    actions: tuple[Action, ...] = (),
    *,
    has_parts: bool = False,
    is_listed: bool = True,
) -> Page:
    return Page(
        slug,
        title,
        f"{_HERE}.{slug}:look",
        f"qcore_dashboard/{slug}.html",
        permission,
        actions,
        order,
        has_parts,
        is_listed,
    )


def _action(slug: str, name: str, permission: str) -> Action:
    return Action(name, f"{_HERE}.{slug}:{name.replace('-', '_')}", permission)


PAGES = [
    _page("overview", "Overview", 10),
    _page(
        "queues",
        "Queues",
        20,
        actions=(
            _action("queues", "pause", _CONTROL),
            _action("queues", "resume", _CONTROL),
        ),
    ),
    _page("tasks", "Tasks", 30, "qcore.view_task"),
    _page(
        "task",
        "Task",
        31,
        "qcore.view_task",
        (_action("task", "cancel", _CANCEL), _action("task", "send-again", _AGAIN)),
        has_parts=True,
        is_listed=False,
    ),
    _page(
        "dead",
        "Dead",
        40,
        "qcore.view_task",
        (
            _action("dead", "send-again", _AGAIN),
            _action("dead", "discard", "qcore.delete_task"),
        ),
    ),
    _page(
        "schedules",
        "Schedules",
        50,
        "qcore.view_schedule",
        tuple(
            _action("schedules", name, _SCHEDULE)
            for name in ("run-now", "pause", "resume")
        ),
    ),
    _page("clusters", "Clusters", 60),
    _page("system", "System", 70, "qcore_dashboard.view_system"),
]
