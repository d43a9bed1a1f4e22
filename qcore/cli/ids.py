"""Ids of tasks on the command line, checked before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ConfigError, EnqueueError


def check_ids(ids: Iterable[str]) -> None:
    """Refuse what is no id of a task.

    Raises:
        ConfigError: names the first one that is none.
    """
    # imported late: help is shown without them
    from ..conf.names import quoted
    from ..tasks.options import check_id

    for id in ids:
        try:
            check_id(id)
        except EnqueueError:
            raise ConfigError(
                f"{quoted(id)} is no id of a task: expected 32 hexadecimal digits in lower"
                " case, as async_task and enqueue return them. A name is not enough."
            ) from None
