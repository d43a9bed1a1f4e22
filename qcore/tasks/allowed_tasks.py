"""Allowed tasks: which functions a task, a hook or a link of a chain may call.

It is asked where a task is sent, where something that was stored is sent again, and once
more in the worker, right before the call: a package may have been signed elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from ..errors import BadPackage
from ..serializers import get_serializer

if TYPE_CHECKING:
    from ..conf import Conf
    from ..envelope import Task


#: Our own task hook, of tasks of ``django.tasks``.
ANNOUNCE = "qcore.backend.calling.announce"


def is_allowed(path: str, conf: Conf) -> bool:
    """Return whether ``allowed_tasks`` admits a path; without the setting, any."""
    if conf.allowed_tasks is None:
        return True
    return path == ANNOUNCE or any(
        path == prefix or path.startswith(f"{prefix}.") for prefix in conf.allowed_tasks
    )


def refusal(task: Task, conf: Conf) -> str | None:
    """Return why a task is not admitted: its function, its hook or a link; or None.

    Links are read from JSON. A pickle is never opened for it: its links are looked at
    when it is their turn to run.
    """
    if conf.allowed_tasks is None:
        return None
    for what, path in _calls(task):
        if not is_allowed(path, conf):
            return f"Q_CLUSTER['allowed_tasks'] does not admit {path}, {what}."
    return None


def _calls(task: Task) -> Iterator[tuple[str, str]]:
    yield "its function", task.func
    if task.hook is not None:
        yield "its hook", task.hook
    for path in links_of(task):
        yield "a link of its chain", path


def links_of(task: Task) -> list[str]:
    """Return the paths of the links that follow a task, as far as they can be read."""
    if not task.links or task.content != "json":
        return []
    try:
        call = cast("Any", get_serializer("json").loads(task.body))
        return [str(link[0]) for link in call[2]]
    except (BadPackage, LookupError, TypeError):
        return []  # the worker will say what is wrong with the body
