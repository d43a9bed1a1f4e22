"""Schedulers: they send tasks when they are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import StoreRefused

if TYPE_CHECKING:
    from ..conf import Conf


class Scheduler:
    """Base class of all schedulers; ``tick`` runs in a thread of the dispatcher."""

    #: Whether it knows ``count``.
    supports_counts: ClassVar[bool] = False

    def __init__(self, conf: Conf) -> None:
        self.conf = conf

    def prepare(self) -> None:
        """Prepare data that the processes of a cluster can share; called before the forks.

        It is called once, on a scheduler that never ticks, in the process that all others
        are forked from. It may read and compile; it starts no thread, and it raises nothing
        where a service is away.
        """

    def tick(self) -> float:
        """Enqueue every slot that is due, and return the seconds until the next one.

        A slot is sent once however many clusters tick at the same time, and one
        bad schedule never stops the others.

        Raises:
            StoreError, BrokerError: nothing could be done now; the next tick tries again.
        """
        raise NotImplementedError

    def next_due(self) -> float | None:
        """Return the seconds until the next slot is due, for the clock of tests.

        Returns:
            Zero where one is; None where there is none, or where it cannot tell.
        """
        return None

    def schedule(
        self, func: Callable[..., Any] | str, args: tuple[Any, ...], **options: Any
    ) -> Any:
        """Store a new schedule and return it; see ``qcore.tasks.schedule``."""
        raise NotImplementedError

    def count(self) -> int:
        """Return how many schedules are stored, for ``qcore info``.

        Raises:
            StoreRefused: ``supports_counts`` is False.
            StoreError: it could not be done now.
        """
        raise StoreRefused(
            f"the scheduler {type(self).__name__} cannot count its schedules. Expected:"
            " supports_counts = True, and a method count()."
        )

    def close(self) -> None:
        """Let connections go; the next call may connect again."""
