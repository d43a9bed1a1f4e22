"""A finished task, as hooks get it and as ``fetch`` returns it where no model does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from . import content as contents
from .fingerprint import fingerprint_of
from .moments import moment
from .rows import result_of

if TYPE_CHECKING:
    from ..envelope import Result
    from .rows import Row


class FinishedTask:
    """A finished task, with the attributes of the model ``Task``.

    ``id name func hook group cluster success outcome attempt_count final enqueued started
    stopped fingerprint is_dead`` and, decoded on first use and once, ``args kwargs result``.

    Args:
        result: how its last attempt ended.
        accept: serializers that may be used: ``conf.accept_content``.
    """

    def __init__(self, result: Result, accept: Sequence[str]) -> None:
        task = result.task
        self.id = task.id
        self.name = task.name
        self.func = task.func
        self.hook = task.hook
        self.group = task.group
        self.cluster: str | None = task.queue
        self.success = result.success
        self.outcome = result.outcome
        self.attempt_count = result.attempt
        self.final = result.final
        self.enqueued = moment(task.created)
        self.started = moment(result.started)
        self.stopped = moment(result.stopped)
        self._result = result
        self._accept = accept

    @classmethod
    def of_row(cls, row: Row, accept: Sequence[str]) -> FinishedTask:
        """Return the finished task of a row, as a store keeps it.

        Raises:
            BadPackage: the row is damaged.
        """
        return cls(result_of(row), accept)

    @cached_property
    def fingerprint(self) -> str | None:
        """The fingerprint of the error of a failed attempt; None of any other end."""
        return None if self.success else fingerprint_of(self._result)

    @property
    def is_dead(self) -> bool:
        """Whether the task has failed for good."""
        return self.final and self.fingerprint is not None

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments; a joined ``async_iter`` has the arguments of all its calls.

        Raises:
            StoreError: this project does not accept their serializer.
        """
        return tuple(self._call[0])

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments; raises what ``args`` raises."""
        return cast("dict[str, Any]", self._call[1])

    @cached_property
    def result(self) -> Any:
        """The return value, or the text of the error; raises what ``args`` raises."""
        result = self._result
        return contents.load_bytes(result.value, result.content, self._accept)

    @cached_property
    def _call(self) -> list[Any]:
        task = self._result.task
        return contents.call_of(task.body, task.content, self._accept)

    def time_taken(self) -> float:
        """Return how many seconds the last attempt ran."""
        return self._result.stopped - self._result.started

    def __str__(self) -> str:
        return self.name or self.id
