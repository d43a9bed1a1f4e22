"""Batch: any number of tasks, and what is sent when they have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from django.db import connections

from qcore.errors import CallError
from qcore.tasks.enqueueing import as_calls
from qcore.tasks.loops import refuse_with_in_loop

from .blocking import async_variant, blocking
from .callbacks import CHANGED, decide, send_due
from .handle import Handle, made, made_many, require_queue, running
from .tables import expect, flows, lock, place, require_tables, touch

if TYPE_CHECKING:
    from qcore import Task

logger = logging.getLogger("qcore.flows")

#: Tasks that are sent together.
PORTION = 1000


class Batch(Handle):
    """Tasks that are counted until all of them have ended.

    ::

        with Batch("import 7") as batch:
            batch.on_success(mail, "done")
            for row in rows:
                batch.add(import_row, row)

    Tasks are sent in portions of 1,000 while the block runs. The end of the block sends the
    last portion and seals the batch, in one transaction of the ledger's database. If the
    block raises, nothing more is sent, what was sent is cancelled, and no callback is.

    Args:
        name: for people, up to 255 characters.
        id: of a batch that exists: use ``Batch.get(id)``.
    """

    kind = "batch"

    def __init__(self, name: str = "", *, id: str | None = None) -> None:
        super().__init__(name, id=id)
        self._is_in_block = False
        self._is_written = id is not None
        self._waiting: list[tuple[Task, float]] = []

    def __enter__(self) -> Self:
        """Begin to add.

        Raises:
            CallError: it is sealed, or its block has begun already.
            EnqueueError: this project has no tables for batches.
            BrokerUnavailable: the tables are missing until somebody runs ``migrate``.
        """
        refuse_with_in_loop("Batch")
        if self._is_sealed:
            raise CallError(
                f"{self!r} is sealed: a batch has one block. Make a new Batch, or call"
                " add() in one of its tasks."
            )
        if self._is_in_block:
            raise CallError(f"{self!r}: its block has begun already.")
        require_tables("begin a batch")
        require_queue("tasks")
        self._is_in_block = True
        return self

    @blocking
    def add(self, func: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> str:
        """Add a task and return its id.

        In the block, it is sent with the others of its portion. After the block only a task
        of the batch itself may add to it, while it runs; then it is sent at once.

        Args:
            func: a function of a module, or its dotted path.
            args: its positional arguments.
            kwargs: its keyword arguments, and options as of ``async_task``, but not
                ``broker``, ``sync`` and ``commit``.

        Raises:
            CallError: the block has not begun.
            EnqueueError: it cannot be sent, or the batch takes nothing more from here.
            BrokerUnavailable: the database of the ledger does not answer.
        """
        task, delay = made(func, args, kwargs, member={"flow_id": self.id})
        self._take([(task, delay)])
        return task.id

    aadd = async_variant(add)

    @blocking
    def add_many(
        self,
        func: Callable[..., Any] | str,
        args_list: Iterable[Any],
        **options: Any,
    ) -> list[str]:
        """Add one function with many argument lists; return the ids in their order.

        Args:
            func: a function of a module, or its dotted path.
            args_list: for each task its positional arguments, or the only one.
            options: as of ``add``; keywords for the function are passed to each call.

        Raises:
            CallError, EnqueueError, BrokerUnavailable: as ``add``.
        """
        member = {"flow_id": self.id}
        tasks = made_many(func, as_calls(args_list), options, member)
        self._take(tasks)
        return [task.id for task, _ in tasks]

    aadd_many = async_variant(add_many)

    def _take(self, tasks: list[tuple[Task, float]]) -> None:
        if self._is_sealed:
            place().run(lambda: self._send(tasks))
            return
        if not self._is_in_block:
            raise CallError(
                f"{self!r}: add tasks in its block: with Batch(...) as batch:"
            )
        self._waiting += tasks
        while len(self._waiting) >= PORTION:
            portion = self._waiting[:PORTION]
            place().run(lambda: self._write(portion))  # noqa: B023 - called at once
            self._is_written = True
            del self._waiting[:PORTION]

    def _write(self, tasks: list[tuple[Task, float]]) -> None:
        """Send tasks, in a transaction of the ledger; the first ones with the batch."""
        if not self._is_written:
            self._new_row(place().now()).save(using=place().database, force_insert=True)
        self._send(tasks)

    def _send(self, tasks: list[tuple[Task, float]]) -> None:
        by_delay: dict[float, list[Task]] = {}
        for task, delay in tasks:
            by_delay.setdefault(delay, []).append(task)
        for delay, some in by_delay.items():
            place().send(some, delay=delay)
        if longest := max(by_delay, default=0.0):
            expect(self.id, place().now() + longest)

    # -- the end of the block ---------------------------------------------------------------
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Seal the batch, or give it up where the block has raised.

        Raises:
            EnqueueError, BrokerUnavailable: the last portion is not sent; what was sent is
                cancelled.
        """
        if kind is None:
            try:
                place().run(self._seal)
            except BaseException:
                self._give_up()
                raise
            self._is_sealed, self._waiting = True, []
        else:
            self._give_up()

    def _seal(self) -> None:
        self._write(self._waiting)
        flow = lock([self.id])[self.id]
        now = place().now()
        flow.sealed = now
        touch(flow, now)
        due = decide(flow, now)
        flows().filter(pk=self.id).update(
            sealed=now,
            **{name: getattr(flow, name) for name in CHANGED},
            **self._packages(),
        )
        send_due(self.id, due)

    def _give_up(self) -> None:
        """Cancel what was sent; the error of the block is told by the caller."""
        self._is_sealed, self._waiting = True, []
        if not self._is_written or connections[place().database].needs_rollback:
            return  # nothing was sent, or all of it is about to be undone
        from .repair import give_up

        try:
            give_up(self.id)
        except Exception:  # the error of the block is the one to be told
            logger.exception(
                "the tasks that the failed block of %r has sent cannot be cancelled",
                self,
            )


@blocking
def current_batch() -> Batch | None:
    """Return the batch that the running task is a member or a callback of; None: of none."""
    return running(Batch)


acurrent_batch = async_variant(current_batch)
