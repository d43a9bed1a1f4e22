"""Services: everything that the engine is given when it starts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

from ..brokers.base import Broker
from ..conf import Conf
from ..envelope import Result, Task
from ..features import Admitted, Claim
from ..results.base import ResultStore
from ..schedules.base import Scheduler
from ..settled import Settled, Settlement, TicketState
from ..status import Pause, Snapshot


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing. The default of every optional service."""


def always() -> bool:
    """Return True."""
    return True


class Notify(Protocol):
    """Calls the observers of a hook; never raises an ``Exception``."""

    def __call__(self, hook: str, /, **arguments: Any) -> None:
        """Call them.

        Args:
            hook: its name, such as ``qcore_process_started``.
            arguments: of the hook.
        """


class ReportFailure(Protocol):
    """Tells every error reporter of a failed attempt; see ``tasks.execute.report``."""

    def __call__(
        self,
        task: Task,
        attempt: int,
        outcome: str,
        text: str,
        origin: str,
        error: BaseException | None,
        /,
    ) -> None:
        """Tell them.

        Args:
            task: that has failed.
            attempt: which delivery of it, from 1.
            outcome: one of ``Outcome``.
            text: of the error.
            origin: the worker, as "host:pid".
            error: None where the attempt left none: a killed worker.
        """


class Ticking(Protocol):
    """What a thread calls again and again, such as the relay of the outbox."""

    def tick(self) -> float:
        """Do what is due; return the seconds until the next call."""

    def close(self) -> None:
        """Close the connections of the thread."""


class Watching(Protocol):
    """What looks for pauses and for cancelled tasks; for one thread."""

    def look(self) -> tuple[Pause | None, bool]:
        """Return the pause of the queue, or None; and whether any task is cancelled."""

    def cancelled(self, ids: Collection[str]) -> dict[str, TicketState]:
        """Return the tickets of those of these tasks that are to be cancelled."""

    def wait(self, stopping: threading.Event, seconds: float) -> None:
        """Wait until there may be a pause or a cancelled task, ``seconds`` at most."""

    def close(self) -> None:
        """Close the connections of the thread."""


def no_watch() -> Watching | None:
    """Return None: nobody can ask anything."""
    return None


class TrackerLike(Protocol):
    """What the recorder asks of tracked tasks, for one thread; see ``ledger.tracked``.

    Each method but ``transaction`` and ``close`` raises ``StoreError`` where the database
    does not take it.
    """

    database: str

    def transaction(self) -> AbstractContextManager[None]:
        """Return a transaction of its database."""

    def end(self, results: Sequence[Result]) -> None:
        """Note how attempts have ended."""

    def again(self, ids: Sequence[str]) -> None:
        """Note that tasks wait again, whose attempt was broken off."""


def no_tracker() -> TrackerLike | None:
    """Return None: nothing is tracked."""
    return None


def no_sweep(plugin: str) -> Ticking | None:
    """Return None: nothing is to be done from time to time."""
    return None


def no_cut() -> Callable[[], int] | None:
    """Return None: the thread has no connection that could hang."""
    return None


def no_relay() -> Ticking | None:
    """Return None: there is no outbox."""
    return None


class LedgerLike(Protocol):
    """What the engine asks of the ledger, for one thread; see ``ledger.settlement``.

    Each method but ``close`` raises ``LedgerError`` where the database does not answer.
    """

    @property
    def database(self) -> str:
        """The alias of its database."""

    @property
    def is_ready(self) -> bool:
        """Whether its tables are there."""

    def look_up(self, ids: Collection[str]) -> dict[str, TicketState]:
        """Return what the tickets of tasks say; a task without one is missing."""

    def count_claims(self, gens: Mapping[str, int]) -> dict[str, TicketState]:
        """Count one more claim of each task in its ticket; return what these say then."""

    def ping(self) -> None:
        """Check that it can be written to."""

    def transaction(self) -> AbstractContextManager[None]:
        """Return a transaction of its database."""

    def settle(self, settlements: Sequence[Settlement], token: str) -> list[bool]:
        """Write settlements down; return for each whether it holds."""

    def give_back(self, settled: Sequence[Settled]) -> None:
        """Tell plugins of deliveries that are given back, and take back their starts."""

    def sent(self, token: str, task_ids: Sequence[str]) -> None:
        """Delete the rows of followers that were sent."""

    def leave(self, token: str, task_ids: Sequence[str]) -> None:
        """Leave the rows of followers to the relay."""

    def forget(self, task_ids: Sequence[str]) -> None:
        """Delete the tickets of tasks of which no package is left."""

    def complete(self, iter_id: str) -> None:
        """Have the task sent that follows the calls of an ``async_iter``."""

    def close(self) -> None:
        """Close the connection of the thread."""


def no_ledger() -> LedgerLike | None:
    """Return None: there is no ledger."""
    return None


def as_made(task: Task, follows: str) -> Task | None:
    """Return a new task unchanged: no plugin decides about it."""
    return task


class Features(Protocol):
    """What the plugins decide that tasks need; see ``qcore.ledger.features``."""

    def lacking(self, task: Task) -> str | None:
        """Return the name of a plugin that a task needs and this cluster lacks."""

    def admit(self, claims: Sequence[Claim]) -> list[Admitted]:
        """Return for each claim whether its task may run, and its ticket after that.

        Raises:
            LedgerError: the ledger is away.
            Exception: one of the claims is the reason, perhaps; nothing is decided.
        """

    @property
    def renews(self) -> bool:
        """Whether any plugin holds something for running tasks."""

    def renew(self, claims: Sequence[Claim]) -> set[tuple[str, int]]:
        """Renew what running tasks hold.

        Returns:
            The ids and starts of tasks that hold it no more.

        Raises:
            Exception: nothing is renewed.
        """

    def close(self) -> None:
        """Close the connection of the thread."""


def no_features() -> Features | None:
    """Return None: no plugin decides about tasks."""
    return None


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster is made of.

    Brokers, stores and schedulers are made by the thread that uses them.
    """

    conf: Conf
    version: str
    make_broker: Callable[[], Broker]
    make_store: Callable[[], ResultStore]  # one, which routes results by their tasks
    make_scheduler: Callable[[], Scheduler]
    verify: Callable[[bytes], Task]  # raises PackageError
    sign: Callable[[Task], bytes]
    make_relay: Callable[[], Ticking | None] = no_relay
    make_ledger: Callable[[], LedgerLike | None] = no_ledger
    #: the plugins that do something from time to time, each in a thread of its own
    sweepers: Sequence[str] = ()
    make_sweep: Callable[[str], Ticking | None] = no_sweep
    #: made by the thread that asks
    make_features: Callable[[], Features | None] = no_features
    #: a next link, with the id of its predecessor; None: it is not sent
    prepare: Callable[[Task, str], Task | None] = as_made
    make_watch: Callable[[], Watching | None] = no_watch
    #: made by a thread: lets another one cut its connections, which returns how many
    make_cut: Callable[[], Callable[[], int] | None] = no_cut
    make_tracker: Callable[[], TrackerLike | None] = no_tracker
    broker_name: str = "?"  # its class, for people
    broker_info: Callable[[], str] = str  # name and version of the service, cached
    publish: Callable[[Snapshot, float], None] = nothing  # until the next one: seconds
    notify: Notify = nothing
    #: the ids of tasks in living clusters
    running: Callable[[], Collection[str]] = frozenset
    report: ReportFailure = nothing  # of a worker's death
    #: in the sentinel: whether the dispatcher still says something
    responds: Callable[[], bool] = always
    before_fork: Callable[[], None] = nothing  # in the sentinel: let connections go
    after_fork: Callable[[str], None] = nothing  # in the child, with its role
    tidy: Callable[[Task], None] = nothing  # in a worker, after each task
    before_exit: Callable[[], None] = nothing  # in every process: flush reporters
