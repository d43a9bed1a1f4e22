"""The routed store: one store over those of a project; each result goes where its task says.

A result is kept in the database or in the cache, or not at all. Whoever stores results
knows this store only, and asks it for the *route* of a task where it matters which results
fail together: a cache that is away is no reason to wait with what the database takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from msgspec import UNSET

from ..envelope import UNTOLD, Outcome
from .base import ResultStore
from .tally import Tally

if TYPE_CHECKING:
    import datetime as dt
    from contextlib import AbstractContextManager

    from ..brokers.base import Broker
    from ..conf import Conf
    from ..envelope import Result, Task
    from .base import Record
    from .dead import DeadGroup

#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_SUCCESS = Outcome.SUCCESS
#: The routes: names of the two stores that a project has.
DATABASE, CACHE = "database", "cache"


def is_saved(result: Result, conf: Conf) -> bool:
    """Return whether a result is kept at all.

    Failures always are, and so are the calls of an ``async_iter``, which are joined
    from what is stored.
    """
    if result.outcome != _SUCCESS:
        return result.outcome not in UNTOLD
    task = result.task
    if task.iter_count is not None:
        return True
    own = task.options.save
    return conf.save_limit >= 0 if own is UNSET else bool(own)


class RoutedStore(ResultStore):
    """Routes each result by its task: ``cached`` says database or cache.

    Args:
        conf: the settings.
        make: for each route what makes its store, on first use: what cannot be made is
            no reason to do without the other.
    """

    def __init__(
        self, conf: Conf, make: Mapping[str, Callable[[], ResultStore]]
    ) -> None:
        super().__init__(conf)
        self._make = make
        self._made: dict[str, ResultStore] = {}

    def route(self, task: Task) -> str:
        own = task.options.cached
        return CACHE if (self.conf.cached if own is UNSET else own) else DATABASE

    def part(self, route: str) -> ResultStore:
        try:
            return self._made[route]
        except KeyError:
            made = self._made[route] = self._make[route]()
            return made

    @property
    def _main(self) -> ResultStore:
        """The store of whatever has no task: quarantine, transactions with a broker."""
        return self.part(DATABASE)

    @property
    def _all(self) -> Iterator[ResultStore]:
        return (self.part(route) for route in self._make)

    @property
    def database(self) -> str | None:  # type: ignore[override]
        """Django database alias that it writes to, if any."""
        return self._main.database

    @property
    def blocks(self) -> bool:  # type: ignore[override]
        """Whether a call waits for a service."""
        return any(store.blocks for store in self._all)

    @property
    def supports_counts(self) -> bool:  # type: ignore[override]
        """Whether ``count`` is known, of each of its stores."""
        return all(store.supports_counts for store in self._all)

    @property
    def supports_resend(self) -> bool:  # type: ignore[override]
        """Whether ``task_of`` is known, of one of its stores."""
        return any(store.supports_resend for store in self._all)

    @property
    def supports_dead(self) -> bool:  # type: ignore[override]
        """Whether the dead tasks are known of the store that has them by default."""
        return self._usual.supports_dead

    @property
    def _usual(self) -> ResultStore:
        """The store of a task that says nothing."""
        return self.part(CACHE if self.conf.cached else DATABASE)

    # -- for the recorder ----------------------------------------------------
    def save(self, results: Sequence[Result]) -> None:
        """Store each result in its own store, unless the task says not to save it.

        The batch of each store is stored as a whole or not at all. Whoever wants to know
        which of them was not, saves the results of one route at a time.
        """
        batches: dict[str, list[Result]] = {}
        for result in results:
            if is_saved(result, self.conf):
                batches.setdefault(self.route(result.task), []).append(result)
        for route, batch in batches.items():
            self.part(route).save(batch)

    def ping(self) -> None:
        for store in self._all:
            store.ping()

    def acknowledged(self, ids: Collection[str]) -> None:
        for store in self._made.values():
            store.acknowledged(ids)

    @property
    def is_untidy(self) -> bool:
        return any(store.is_untidy for store in self._made.values())

    def tidy(self) -> None:
        for store in self._made.values():
            if store.is_untidy:
                store.tidy()

    def finished(self, ids: Collection[str]) -> dict[str, tuple[str, bytes]]:
        found: dict[str, tuple[str, bytes]] = {}
        for store in self._all:
            found |= store.finished([id for id in ids if id not in found])
        return found

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        found = dict.fromkeys(ids, 0)
        for store in self._all:
            for id, count in store.crashes(ids).items():
                found[id] += count
        return found

    def quarantine(self, queue: str, package: bytes, reason: str, detail: str) -> None:
        self._main.quarantine(queue, package, reason, detail)

    def collate(self, group: str, count: int) -> bool:
        return any(store.collate(group, count) for store in self._all)

    def separate(self, group: str) -> None:
        for store in self._all:
            store.separate(group)

    def joined(self, broker: Broker) -> AbstractContextManager[object]:
        return self._main.joined(broker)

    # -- for the API -----------------------------------------------------------
    def fetch(self, key: str) -> Record | None:
        found = (store.fetch(key) for store in self._all)
        return next((record for record in found if record is not None), None)

    def fetch_group(self, group: str, failures: bool) -> list[Record]:
        found = [
            record
            for store in self._all
            for record in store.fetch_group(group, failures)
        ]
        return sorted(found, key=lambda record: (record.enqueued, record.id))

    def count_group(self, group: str, failures: bool) -> int:
        return sum(store.count_group(group, failures) for store in self._all)

    def delete(self, key: str) -> bool:
        return sum(store.delete(key) for store in self._all) > 0

    def delete_group(self, group: str, tasks: bool) -> int:
        return sum(store.delete_group(group, tasks) for store in self._all)

    def task_of(self, id: str) -> Task | None:
        if not self.supports_resend:
            return super().task_of(id)  # which refuses
        known = [store for store in self._all if store.supports_resend]
        found = (store.task_of(id) for store in known)
        return next((task for task in found if task is not None), None)

    @contextmanager
    def resending(self, ids: Collection[str]) -> Iterator[Collection[str]]:
        known = [store for store in self._all if store.supports_resend]
        having: dict[int, list[str]] = {}
        for id in ids:
            place = (n for n, one in enumerate(known) if one.task_of(id) is not None)
            having.setdefault(next(place, 0), []).append(id)
        with ExitStack() as stack:
            yield [
                id
                for number, some in having.items()
                for id in stack.enter_context(known[number].resending(some))
            ]

    # -- dead tasks ----------------------------------------------------------------
    def dead_groups(self, limit: int | None = None) -> list[DeadGroup]:
        return self._usual.dead_groups(limit)

    def dead_tasks(
        self,
        func: str | None = None,
        fingerprint: str | None = None,
        *,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Record]:
        return self._usual.dead_tasks(func, fingerprint, before=before, limit=limit)

    def discard_dead(self, ids: Collection[str]) -> list[str]:
        return self._usual.discard_dead(ids)

    # -- for people --------------------------------------------------------------
    def count(self, since: dt.datetime | None = None) -> Tally:
        if not self.supports_counts:
            return super().count(since)  # which refuses
        found = [store.count(since) for store in self._all]
        return Tally(
            sum(tally.succeeded for tally in found),
            sum(tally.failed for tally in found),
            None if since is None else sum(tally.seconds or 0.0 for tally in found),
        )

    def quarantined(self) -> int | None:
        return self._main.quarantined()

    def close(self) -> None:
        for store in self._made.values():
            store.close()
