"""Ids of tasks that calls are given, checked before anything is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..conf.names import shown
from ..errors import CallError

_ID = re.compile(r"[0-9a-f]{32}")


def require_id(task_id: object, call: str) -> None:
    """Refuse what is no id of a task.

    Args:
        task_id: what the caller has given.
        call: the call that needs it, for the error.

    Raises:
        CallError: it is none.
    """
    if not isinstance(task_id, str) or not _ID.fullmatch(task_id):
        raise CallError(
            f"{call}() got {shown(task_id)}, expected the id of a task: 32 hexadecimal"
            " digits, as async_task and enqueue return it. A name is not enough."
        )


def required_ids(tasks: object, call: str) -> list[str]:
    """Return the ids of tasks, each once.

    Args:
        tasks: the id of a task, or several.
        call: the call that needs them, for the error.

    Raises:
        CallError: one of them is none.
    """
    if isinstance(tasks, str):
        tasks = [tasks]
    if not isinstance(tasks, Iterable):
        raise CallError(
            f"{call}() got {shown(tasks)}, expected the id of a task, or several."
        )
    ids = list(tasks)
    for id in ids:
        require_id(id, call)  # first: what is no text may have no hash
    return list(dict.fromkeys(ids))
