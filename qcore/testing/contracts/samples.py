"""Results to store, made up for the tests of result stores."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from ...envelope import Options, Outcome, Result, Task, new_id

#: ``make(value=None, *, id=None, args=None, attempt=1, outcome="success", **task)``
MakeResult = Callable[..., Result]

#: 2026-01-01 00:00 UTC
EPOCH = 1_767_225_600.0


def result_maker() -> MakeResult:
    """Return a function that makes results, each one a second after the one before."""
    clock = itertools.count(1)

    def make(
        value: object = None,
        *,
        id: str | None = None,
        args: list[object] | None = None,
        attempt: int = 1,
        outcome: str = Outcome.SUCCESS,
        error: str = "ValueError: no\n\nTraceback",
        content: str = "json",
        options: Options | None = None,
        started: float | None = None,
        **task: Any,
    ) -> Result:
        started = EPOCH + next(clock) if started is None else started
        task_id = id or new_id()
        fields: dict[str, Any] = {
            "id": task_id,
            "name": f"add-{task_id[-8:]}",
            "func": "shop.tasks.add",
            "queue": "tests",
            "created": started - 0.5,
            "content": "json",
            "body": json.dumps([args or [], {}]).encode(),
            "options": options or Options(),
        }
        failed = outcome != Outcome.SUCCESS
        return Result(
            task=Task(**(fields | task)),
            outcome=outcome,
            value=error.encode() if failed else json.dumps(value).encode(),
            content="text" if failed else content,
            started=started,
            stopped=started + 0.25,
            attempt=attempt,
        )

    return make


def elements(make: MakeResult, group: str, count: int) -> list[Result]:
    """Return the results of the calls of one ``async_iter``."""
    return [
        make(n * 10, args=[n], group=group, iter_index=n, iter_count=count)
        for n in range(count)
    ]
