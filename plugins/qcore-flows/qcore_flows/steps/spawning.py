"""Spawning: a run sends a task, and is told of its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from qcore.envelope import Outcome
from qcore.testing.interrupts import reached

from ..handle import made
from ..option import derived_id
from .calls import Key
from .children import SPAWNED
from .memory import Remembered
from .names import name_of
from .run import current_run
from .values import encode
from .words import Kind

_COLUMNS = ("task_id", "run_id", "touched", "outcome", "ended")


def spawn(
    name: str,
    func: Callable[..., Any] | str,
    /,
    *args: Any,
    key: Key = None,
    was: str | None = None,
    **kwargs: Any,
) -> str:
    """Send a task once, and remember its id; ``wait`` and ``wait_all`` wait for its end.

    The task is sent in the transaction that stores its id: after a crash, it is sent and
    remembered, or neither. It runs beside this one, perhaps in another cluster. It goes on
    if this task fails or is cancelled.

    Args:
        name: of the step, unique in the run.
        func: a function of a module, or its dotted path. It can be a durable task.
        args: its positional arguments.
        key: tells the calls of a loop apart.
        was: the name that the step had in an earlier version of the function.
        kwargs: its keyword arguments, but ``key`` and ``was``; and options as of
            ``async_task``, but not ``task_id``, ``broker``, ``sync`` and ``commit``.

    Returns:
        The id of the task: the same at each start of this run.

    Raises:
        StepError: as ``step``.
        EnqueueError: the task cannot be sent; nothing was stored.
        BrokerError: the database does not take it now.
        LeaseLost: another worker has begun this task since; nothing was sent.
    """
    run = current_run("spawn")
    whole = name_of("spawn", name, key)
    known = run.recall(whole, was, Kind.SPAWN)
    if known is None:
        reached(whole, "before")
        began = run.clock.now()
        id = derived_id(run.id, f"{run.memory.start} {whole}")
        task, delay = made(func, args, kwargs, id, spawned_by=run.id)
        value = encode(id, f"the step {whole!r}")

        def write() -> Remembered:
            now = run.clock.now()
            run.memory.fenced(now)
            ledger = run.memory.ledger
            skipped = ledger.send([task], delay=delay)
            over = (None, str(Outcome.REPLACED), now) if skipped else (now, None, None)
            ledger.insert(SPAWNED, _COLUMNS, [(id, run.id, *over)])
            reached(whole, "unsaved")
            return run.memory.add(
                whole, Kind.SPAWN, began, done=now, content=value.content,
                value=value.data,
            )  # fmt: skip

        known = run.store(whole, write)
        reached(whole, "after")
    return cast("str", known.load())
