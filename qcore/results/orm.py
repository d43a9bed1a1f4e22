"""The result store in the project's database: the model ``Task``."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from django.db import connections, router, transaction
from django.db.models import (
    CharField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    Min,
    Sum,
    Value,
)
from django.db.models.functions import Concat, Left
from django.db.utils import OperationalError

from ..brokers.tools import chunks
from ..models import DEAD, FAILED, Failure, Quarantine, Success, Task
from .base import ResultStore
from .dead import DeadGroup, first_line_of
from .probe import probe
from .pruning import Pruner
from .quarantine import QuarantineTable
from .rows import (
    FIELDS,
    NAME,
    PATH,
    Row,
    clip,
    collapse,
    join,
    readable,
    row_of,
    task_of_row,
)
from .sql import TIMES, Upsert, is_deadlock, make_upsert, store_errors
from .tally import Tally

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from ..brokers.base import Broker
    from ..conf import Conf
    from ..envelope import Result
    from ..envelope import Task as Envelope
    from .base import Record

#: Times that a batch is tried when each time the database gives another one precedence.
#: Inside somebody else's transaction, that one is lost and cannot be tried again here.
DEADLOCKS = 5

#: Ids in one query. SQLite before 3.32 takes 999 parameters.
MAX_IDS = 500

#: Characters of an error that are read for its first line.
_LINE = 500

_TEXT = CharField()
_TAKEN = Sum(ExpressionWrapper(F("stopped") - F("started"), DurationField()))


class OrmStore(ResultStore):
    """Keeps results in the table of ``Task``, in the database the routers name.

    Reads go to the database that is written to: a replica may not have the result
    that somebody waits for.
    """

    supports_counts = True
    supports_resend = True
    supports_dead = True
    database: str

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        self.database = router.db_for_write(Task)
        self._upsert: Upsert | None = None
        self._quarantine = QuarantineTable(
            Quarantine.objects.using(router.db_for_write(Quarantine))
        )
        self._prune = Pruner(
            self._tasks, conf.save_limit, conf.save_limit_per, conf.retry
        )

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.database]

    @property
    def _tasks(self) -> QuerySet[Task]:
        return Task.objects.using(self.database)

    # -- for the recorder ----------------------------------------------------
    def save(self, results: Sequence[Result]) -> None:
        with self._errors("store results"):
            if rows := collapse(results):
                self._save(rows)

    def _save(self, rows: Sequence[Row]) -> None:
        tries = 1 if self._connection.in_atomic_block else DEADLOCKS
        while True:
            try:
                with transaction.atomic(self.database):
                    self._write(rows)
                    self._prune(rows)
            except OperationalError as error:
                tries -= 1
                if not tries or not is_deadlock(error):
                    raise
                # whoever won is done soon; two losers must not meet again
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - no secret
            else:
                return

    def _write(self, rows: Sequence[Row]) -> None:
        if self._upsert is None:
            self._connection.ensure_connection()  # it tells MariaDB from MySQL
            self._upsert = make_upsert(self._connection)
        with self._connection.cursor() as cursor:
            self._upsert(cursor, rows)

    def acknowledged(self, ids: Collection[str]) -> None:
        self._prune.acknowledge(ids)

    @property
    def is_untidy(self) -> bool:
        return self._prune.is_behind

    def tidy(self) -> None:
        if self._prune.is_behind:
            with self._errors("prune results"), transaction.atomic(self.database):
                self._prune.tidy()

    def finished(self, ids: Collection[str]) -> dict[str, tuple[str, bytes]]:
        with self._errors("look up results"):
            return {
                id: readable(value, content)
                for part in _parts(ids)
                for id, content, value in self._tasks.filter(
                    id__in=part, success=True
                ).values_list("id", "value_content", "value")
            }

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        found = dict.fromkeys(ids, 0)
        with self._errors("look up results"):
            for part in _parts(ids):
                crashed = self._tasks.filter(id__in=part, crashes__gt=0)
                found.update(crashed.values_list("id", "crashes"))
        return found

    def quarantine(self, queue: str, package: bytes, reason: str, detail: str) -> None:
        with self._errors("quarantine a package"):
            self._quarantine.put(queue, package, reason, detail)

    def collate(self, group: str, count: int) -> bool:
        elements = self._labelled(group).filter(iter_index__isnull=False)
        with self._errors("join results"), transaction.atomic(self.database):
            if self._tasks.filter(id=group).exists():
                # somebody was faster; what is left came late and is in the list
                elements.delete()
                return True
            if elements.filter(iter_count__isnull=False).count() < count:
                return False
            rows = [_row(values) for values in elements.values(*FIELDS)]
            joined = [join(group, rows)]
            self._write(joined)
            for part in _parts([row.id for row in rows]):
                elements.filter(id__in=part).delete()
            self._prune(joined)
            self._prune.acknowledge([group])  # it has no delivery of its own
            return True

    def separate(self, group: str) -> None:
        calls = self._labelled(group).filter(iter_index__isnull=False)
        with self._errors("separate results"):
            calls.update(iter_index=None, iter_count=None)

    def ping(self) -> None:
        with self._errors("store anything"), transaction.atomic(self.database):
            self._write([row_of(probe())])
            transaction.set_rollback(True, self.database)

    def joined(self, broker: Broker) -> AbstractContextManager[object]:
        if broker.database != self.database:
            return nullcontext()
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors("store and acknowledge"), transaction.atomic(self.database):
            yield

    # -- for the API -----------------------------------------------------------
    def fetch(self, key: str) -> Task | None:
        with self._errors("read a result"):
            found = self._tasks.filter(id=key).first()
            if found is None:
                named = self._tasks.filter(name=clip(key, NAME))
                found = named.order_by("-stopped", "-id").first()
            return found

    def fetch_group(self, group: str, failures: bool) -> list[Task]:  # type: ignore[override]
        with self._errors("read a group"):
            members = self._members(group).order_by("enqueued", "id")
            return list(members if failures else members.filter(success=True))

    def count_group(self, group: str, failures: bool) -> int:
        with self._errors("count a group"):
            members = self._members(group)
            return (members.filter(success=False) if failures else members).count()

    def delete(self, key: str) -> bool:
        with self._errors("delete a result"):
            found = self.fetch(key)
            return found is not None and found.delete(using=self.database)[0] > 0

    def delete_group(self, group: str, tasks: bool) -> int:
        with self._errors("delete a group"):
            members = self._labelled(group)
            return members.delete()[0] if tasks else members.update(group=None)

    def task_of(self, id: str) -> Envelope | None:
        with self._errors("read a result"):
            values = self._tasks.filter(id=id).values(*FIELDS).first()
        return None if values is None else task_of_row(_row(values))

    @contextmanager
    def resending(self, ids: Collection[str]) -> Iterator[Collection[str]]:
        raised: BaseException | None = None
        with self._errors("send a task again"), transaction.atomic(self.database):
            # of two who delete one row, the second waits for the first, and finds none
            taken = {
                id
                for id in sorted(ids)
                if self._tasks.filter(id=id, success=False).delete()[0]
            }
            for part in _parts([id for id in ids if id not in taken]):
                # a success is sent again as often as one likes
                kept = self._tasks.filter(id__in=part, success=True)
                taken.update(kept.values_list("id", flat=True))
            try:
                yield taken
            except BaseException as error:  # noqa: BLE001 - none of this store's
                raised = error
                transaction.set_rollback(True, using=self.database)
        if raised is not None:
            raise raised

    # -- dead tasks ----------------------------------------------------------------
    @property
    def _dead(self) -> QuerySet[Task]:
        dead = self._tasks.filter(DEAD)
        # MariaDB and MySQL have no index of the dead alone, but one that begins so
        return dead.filter(FAILED) if self._connection.vendor == "mysql" else dead

    def dead_groups(self, limit: int | None = None) -> list[DeadGroup]:
        with self._errors("group dead tasks"):
            groups = (
                self._dead.order_by()
                .values("func", "fingerprint")
                .annotate(
                    count=Count("id"),
                    first=Min("stopped"),
                    last=Max("stopped"),
                    example=Max("id"),
                )
                .order_by("-last", "func", "fingerprint")[:limit]
            )
            found: list[dict[str, Any]] = [dict(group) for group in groups]
            errors = {
                id: first_line_of(text)
                for part in _parts([group["example"] for group in found])
                for id, text in self._tasks.filter(id__in=part).values_list(
                    "id", Left("value", _LINE)
                )
            }
        return [
            DeadGroup(**group, error=errors.get(group["example"], ""))
            for group in found
        ]

    def dead_tasks(
        self,
        func: str | None = None,
        fingerprint: str | None = None,
        *,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Record]:
        # by an expression: databases would read all rows in the order of the key, and
        # look among them for the few that are dead
        rows = self._dead.alias(key=Concat("id", Value(""), output_field=_TEXT))
        if func is not None:
            rows = rows.filter(func=clip(func, PATH))
        if fingerprint is not None:
            rows = rows.filter(fingerprint=fingerprint)
        if before is not None:
            rows = rows.filter(key__lt=before)
        with self._errors("list dead tasks"):
            return list(rows.order_by("-key")[:limit])

    def discard_dead(self, ids: Collection[str]) -> list[str]:
        gone: list[str] = []
        with self._errors("discard dead tasks"), transaction.atomic(self.database):
            for part in _parts(sorted(ids)):
                dead = self._dead.filter(id__in=part).order_by("id")
                found = list(dead.select_for_update().values_list("id", flat=True))
                self._tasks.filter(id__in=found).delete()
                gone += found
        return gone

    # -- for people --------------------------------------------------------------
    def count(self, since: dt.datetime | None = None) -> Tally:
        done = Success.objects.using(self.database)
        failed = Failure.objects.using(self.database)
        with self._errors("count results"):
            if since is None:
                return Tally(done.count(), failed.count())
            counts = [
                rows.filter(stopped__gte=since).aggregate(count=Count("id"), sum=_TAKEN)
                for rows in (done, failed)
            ]
        taken = sum((c["sum"] for c in counts if c["sum"]), dt.timedelta())
        return Tally(counts[0]["count"], counts[1]["count"], taken.total_seconds())

    def quarantined(self) -> int:
        with self._errors("count packages in quarantine"):
            return self._quarantine.count()

    def _members(self, group: str) -> QuerySet[Task]:
        """Return a group without the calls of an ``async_iter`` that is not joined."""
        return self._labelled(group).filter(iter_index=None)

    def _labelled(self, group: str) -> QuerySet[Task]:
        return self._tasks.filter(group=clip(group, NAME))

    def close(self) -> None:
        self._connection.close()

    def _errors(self, what: str) -> AbstractContextManager[None]:
        return store_errors(self._connection, what)


def _parts(ids: Collection[str]) -> Iterator[Sequence[str]]:
    return chunks([*ids], MAX_IDS)


def _row(values: dict[str, object]) -> Row:
    times = {name: values[name].timestamp() for name in TIMES}  # type: ignore[attr-defined]
    return Row(**{**values, **times})
