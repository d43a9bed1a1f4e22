"""What senders and plugins ask of the ledger, which is of a higher layer.

``qcore.runtime.current`` gives each of these; ``qcore.ledger`` has the classes that answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .envelope import Result, Task
    from .settled import Follower
    from .status import Pause
    from .tasks.tracking import Entry, TrackedTask

T = TypeVar("T")


class OutboxLike(Protocol):
    """What a sender asks of the outbox; see ``qcore.ledger.outbox``."""

    database: str

    @property
    def is_usable(self) -> bool: ...
    @property
    def is_in_transaction(self) -> bool: ...
    def write(
        self,
        entries: Sequence[tuple[str, str, bytes, int]],
        *,
        delay: float = 0,
        token: str | None = None,
    ) -> None: ...
    def write_followers(self, followers: Sequence[Follower], token: str) -> None: ...
    def delete_tasks(self, token: str, task_ids: Sequence[str]) -> None: ...
    def put_off_tasks(
        self, token: str, task_ids: Sequence[str], seconds: float
    ) -> None: ...
    def wake(
        self, plugin: str, task_ids: Sequence[str], delay: float = 0
    ) -> set[str]: ...
    def due_queues(self) -> set[str]: ...
    def delayed(self, queue: str) -> list[tuple[float, bytes]]: ...


class LedgerPlace(Protocol):
    """What plugins ask of the ledger; see ``qcore.ledger.facade``."""

    database: str

    @property
    def is_ready(self) -> bool: ...
    def lacking(self, plugins: Iterable[str]) -> str | None: ...
    def now(self) -> float: ...
    def run(self, work: Callable[[], T]) -> T: ...
    def each(
        self,
        items: Iterable[T],
        work: Callable[[T], object],
        failed: Callable[[T], object] | None = None,
    ) -> None: ...
    def wake(
        self, plugin: str, task_ids: Sequence[str], delay: float = 0
    ) -> set[str]: ...
    def bring_forward(self, delays: Mapping[str, float]) -> set[str]: ...
    def parked(
        self, plugin: str, *, after: int = 0, limit: int = 500
    ) -> list[tuple[int, str]]: ...
    def execute(
        self, sql: str, values: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]: ...
    def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        *,
        ignore: bool = False,
    ) -> int: ...
    def change(
        self,
        table: str,
        key: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> None: ...
    def send(self, tasks: Sequence[Task], *, delay: float = 0) -> set[str]: ...
    def unsent(self, tasks: Sequence[Task]) -> None: ...
    def ended(self, ids: Collection[str]) -> dict[str, str]: ...
    def waiting(self, ids: Collection[str]) -> set[str]: ...


class ControlLike(Protocol):
    """Writes down pauses and cancelled tasks; see ``qcore.ledger.control``."""

    database: str

    def pause(self, queue: str, by: str | None, reason: str) -> tuple[Pause, bool]: ...
    def resume(self, queue: str) -> Pause | None: ...
    def paused(self) -> list[Pause]: ...
    def cancel(self, ids: Sequence[str]) -> dict[str, str]: ...


class TrackerLike(Protocol):
    """What keeps tracked tasks; see ``qcore.ledger.tracked``."""

    database: str

    @property
    def is_in_transaction(self) -> bool: ...
    def transaction(self) -> AbstractContextManager[None]: ...
    def write(self, entries: Sequence[Entry]) -> None: ...
    def delete(self, ids: Sequence[str]) -> None: ...
    def begin(self, task: Task, worker: str, moment: float) -> TrackedTask | None: ...
    def end(self, results: Sequence[Result]) -> None: ...
    def again(self, ids: Sequence[str]) -> None: ...
    def find(self, id: str) -> TrackedTask | None: ...
