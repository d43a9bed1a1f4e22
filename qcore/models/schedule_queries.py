"""Queries of schedules: which of them a cluster looks after, and changes of many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import Q

from ..schedules import changes

if TYPE_CHECKING:
    from ..conf import Conf
    from .schedules import Schedule


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    """Schedules, and which of them a cluster has to look after."""

    def active(self, conf: Conf) -> ScheduleQuerySet:
        """Return the schedules that the cluster of ``conf`` may fire."""
        mine = Q(cluster=conf.queue)
        if conf.queue == conf.name:
            # the empty text: rows of fixtures and of SQL, which no save() has passed
            mine |= Q(cluster=None) | Q(cluster="")
        return self.filter(mine, paused=False).exclude(repeats=0)

    def update(self, **kwargs: Any) -> int:
        """Change all of them at once; where that changes a rule, so does the next run.

        See ``Schedule.save``. A call that has ``next_run`` among its columns, says when.
        """
        if "cluster" in kwargs:
            kwargs["cluster"] = kwargs["cluster"] or None
        said = kwargs.keys()
        if "next_run" in said or not said & {*changes.RULE, "repeats"}:
            return super().update(**kwargs)
        self._for_write = True
        rows = self.model._base_manager.using(self.db)  # noqa: SLF001 - Django's way
        with transaction.atomic(using=self.db):
            before = {row.pk: row for row in self.all()}
            count = super().update(**kwargs)
            for row in rows.filter(pk__in=before):
                seen, row._seen = row._seen, before[row.pk]._seen  # noqa: SLF001
                row._settle()  # noqa: SLF001 - as save does
                moved = {"next_run": row.next_run, "anchor": row.anchor}
                if moved != {name: seen[name] for name in moved}:
                    rows.filter(pk=row.pk).update(**moved)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Schedule], *args: Any, **kwargs: Any) -> Any:
        """Store many new ones; see ``Schedule.save``."""
        rows = list(objs)
        for row in rows:
            row._settle()  # noqa: SLF001 - as save does
        return super().bulk_create(rows, *args, **kwargs)

    def ready(self, now: dt.datetime) -> ScheduleQuerySet:
        """Return the schedules that are not waiting to be tried again."""
        return self.filter(Q(retry_at=None) | Q(retry_at__lte=now))
