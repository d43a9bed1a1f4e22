"""Results to store, and stores and brokers that begin empty."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import pytest

from qcore.brokers.memory import MemoryBroker
from qcore.current import current
from qcore.envelope import Options, Outcome, Result, Task, new_id
from qcore.results.memory import MemoryStore

Make = Callable[..., Result]

#: 2026-01-01 00:00 UTC
EPOCH = 1_767_225_600.0


@pytest.fixture
def make() -> Make:
    """Make a result; each one a second after the one before."""
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
        **task: object,
    ) -> Result:
        started = EPOCH + next(clock) if started is None else started
        task_id = id or new_id()
        fields = {
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


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Leave nothing in the memory of this process."""
    yield
    MemoryStore.clear()
    MemoryBroker._queues.clear()
    current.reset()
