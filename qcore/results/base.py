"""What a result store is: where the outcomes of tasks are kept and found again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..errors import StoreRefused
from .probe import probe
from .tally import Tally

if TYPE_CHECKING:
    import datetime as dt

    from ..brokers.base import Broker
    from ..conf import Conf
    from ..envelope import Result, Task
    from .dead import DeadGroup


class Record(Protocol):
    """A stored result, as ``fetch`` returns it; the ORM's is the model ``Task``."""

    id: str
    name: str
    func: str
    hook: str | None
    group: str | None
    cluster: str | None
    success: bool
    outcome: str
    attempt_count: int
    final: bool
    """Whether the task is not run again; False of what release 2.0 has stored."""
    enqueued: dt.datetime
    started: dt.datetime
    stopped: dt.datetime

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments of the call."""

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the call."""

    @property
    def result(self) -> Any:
        """The return value, or the text of the error where ``success`` is False."""

    def time_taken(self) -> float:
        """Return the seconds that the last attempt ran."""


class ResultStore:
    """Base class of all result stores; used by one thread at a time."""

    #: Django database alias that it writes to, if any.
    database: str | None = None
    #: Whether a call waits for a service; False where all happens in this process.
    blocks: ClassVar[bool] = True
    #: Whether it knows ``count``.
    supports_counts: ClassVar[bool] = False
    #: Whether it knows ``task_of``.
    supports_resend: ClassVar[bool] = False
    #: Whether it knows ``dead_groups``, ``dead_tasks`` and ``discard_dead``.
    supports_dead: ClassVar[bool] = False

    def __init__(self, conf: Conf) -> None:
        self.conf = conf

    # -- its parts -------------------------------------------------------------
    def route(self, task: Task) -> str:
        """Return the name of the part that keeps the results of a task.

        Results of one part are stored together, and wait together while that part is
        away. The default is for a store without parts. Raises nothing.
        """
        return ""

    def part(self, route: str) -> ResultStore:
        """Return the store that is the part of this name; a store without parts is it."""
        return self

    # -- for the recorder ----------------------------------------------------
    def save(self, results: Sequence[Result]) -> None:
        """Store a batch, all of it or nothing.

        One row for each task id: the first success wins and is never changed
        again; a later attempt at a failure replaces it and its count, an earlier
        one that comes late does not.

        The error need not name the result that cannot be stored: the recorder finds this
        result, and stores a failure in its place.

        Raises:
            StoreUnavailable: nothing was stored; the same call may succeed later.
            StoreRefused: nothing was stored; one of the results can never be stored.
            StoreError: nothing was stored, and the reason may be temporary or not. The
                recorder then calls ``ping``.
        """
        raise NotImplementedError

    def ping(self) -> None:
        """Check that the store accepts results now: store a result and remove it.

        To read is not enough: a disk may be full, or a server may be read-only. The
        default saves and deletes a small result with a name of its own. A store with
        transactions should use one that it rolls back.

        Raises:
            StoreError: the store accepts no results now.
        """
        result = probe()
        self.save([result])
        self.delete(result.task.id)

    def acknowledged(self, ids: Collection[str]) -> None:
        """Note that the deliveries of these tasks are acknowledged.

        Before that, ``finished`` must find a success even if the store prunes, because
        its package may come again. The default does nothing: it is for a store that
        prunes nothing.
        """

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` has anything to do."""
        return False

    def tidy(self) -> None:
        """Prune old results; called when the recorder has been idle for a moment.

        Raises:
            StoreError: the store could not prune now.
        """

    def finished(self, ids: Collection[str]) -> dict[str, tuple[str, bytes]]:
        """Return serializer and value of each task id that has a stored success."""
        raise NotImplementedError

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        """Return how many attempts of each task killed their worker."""
        raise NotImplementedError

    def quarantine(self, queue: str, package: bytes, reason: str, detail: str) -> None:
        """Keep a package that could not be trusted or read, for a person to look at.

        The default keeps nothing: the log line of the pusher is all there is.
        """

    def collate(self, group: str, count: int) -> bool:
        """Join the results of an ``async_iter`` once all ``count`` of them are there.

        The joined result has the group's id, a list of values in the order of the
        arguments, and is a success only if every one of them is. Doing it twice
        is harmless. A result that is not ``final`` does not count: its task is run
        again. Returns whether all were there.

        Raises:
            StoreError: as for ``save``; nothing was changed.
        """
        raise NotImplementedError

    def separate(self, group: str) -> None:
        """Make the calls of an ``async_iter`` results like others, of the same group.

        Called if the joined list cannot be stored: a failure with the group's id is
        stored before this call. The default changes nothing.
        """

    def joined(self, broker: Broker) -> AbstractContextManager[object]:
        """Return a context in which saving and acknowledging are one transaction.

        The default does nothing: store first, acknowledge then.
        """
        return nullcontext()

    # -- for the API -----------------------------------------------------------
    def fetch(self, key: str) -> Record | None:
        """Return the record of a task id, or the newest one of a task name."""
        raise NotImplementedError

    def fetch_group(self, group: str, failures: bool) -> list[Record]:
        """Return the records of a group, oldest first, with or without failures."""
        raise NotImplementedError

    def count_group(self, group: str, failures: bool) -> int:
        """Count the records of a group; ``failures`` counts only the failures."""
        raise NotImplementedError

    def delete(self, key: str) -> bool:
        """Forget a record by task id or name; return whether there was one."""
        raise NotImplementedError

    def delete_group(self, group: str, tasks: bool) -> int:
        """Remove the group's label, or with ``tasks`` its records; return how many."""
        raise NotImplementedError

    def task_of(self, id: str) -> Task | None:
        """Return the task of a stored result, as it was sent; None: there is no result.

        With its arguments as they were serialised, and what is left of its chain.

        Args:
            id: of the task; a name will not do.

        Raises:
            StoreRefused: ``supports_resend`` is False, or the result was damaged.
            StoreError: it could not be done now.
        """
        raise self._refusal(
            "supports_resend", "say what a task was sent with", "task_of"
        )

    @contextmanager
    def resending(self, ids: Collection[str]) -> Iterator[Collection[str]]:
        """Send tasks again in the block of this context.

        Two people may send one failure again at the same time. Where the store can tell, one
        of them gets it: its result is forgotten with the end of the block, and stays where
        the block raises. The default cannot tell, and forgets nothing.

        Args:
            ids: of the tasks.

        Yields:
            The ids of those that may be sent.

        Raises:
            StoreError: it could not be done now.
        """
        yield ids

    # -- dead tasks ----------------------------------------------------------------
    def dead_groups(self, limit: int | None = None) -> list[DeadGroup]:
        """Return the dead tasks in groups of one function and one error.

        Args:
            limit: groups at most; None: all of them.

        Returns:
            The group with the latest failure first.

        Raises:
            StoreRefused: ``supports_dead`` is False.
            StoreError: it could not be done now.
        """
        raise self._refusal("supports_dead", "group dead tasks", "dead_groups")

    def dead_tasks(
        self,
        func: str | None = None,
        fingerprint: str | None = None,
        *,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Record]:
        """Return dead tasks, the one with the highest id, which is the newest one, first.

        Args:
            func: only those of this function.
            fingerprint: only those of this error.
            before: only those with a lower id: the next ones after a page.
            limit: tasks at most.

        Raises:
            StoreRefused: ``supports_dead`` is False.
            StoreError: it could not be done now.
        """
        raise self._refusal("supports_dead", "list dead tasks", "dead_tasks")

    def discard_dead(self, ids: Collection[str]) -> list[str]:
        """Forget dead tasks.

        Args:
            ids: of the tasks; those that are not dead, or not there, are left alone.

        Returns:
            The ids of those that are forgotten.

        Raises:
            StoreRefused: ``supports_dead`` is False.
            StoreError: nothing was forgotten.
        """
        raise self._refusal("supports_dead", "discard dead tasks", "discard_dead")

    def _refusal(self, flag: str, what: str, method: str) -> StoreRefused:
        return StoreRefused(
            f"the result store {type(self).__name__} cannot {what}. Expected:"
            f" {flag} = True, and a method {method}()."
        )

    # -- for people --------------------------------------------------------------
    def count(self, since: dt.datetime | None = None) -> Tally:
        """Count the stored results, for ``qcore info``.

        Args:
            since: count what ended then or later, and add up its seconds; None counts
                everything.

        Raises:
            StoreRefused: ``supports_counts`` is False.
            StoreError: it could not be done now.
        """
        raise StoreRefused(
            f"the result store {type(self).__name__} cannot count its results. Expected:"
            " supports_counts = True, and a method count(since)."
        )

    def quarantined(self) -> int | None:
        """Return how many packages are in quarantine.

        None says that it cannot tell, as where ``quarantine`` keeps nothing: the default.

        Raises:
            StoreError: it could not be done now.
        """
        return None

    def close(self) -> None:
        """Let connections go; the next call may connect again."""
