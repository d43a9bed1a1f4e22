"""``OrmQ``: a package in the table of the ORM broker."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, ClassVar

from django.db.models import QuerySet

from qcore.errors import PackageError
from qcore_orm.models import OrmQ as QcoreOrmQ

from ..packages import TaskDict, dict_of
from ..signing import bytes_of

_FIXED = frozenset({"id", "name", "group", "func", "args", "kwargs"})


class OrmQQuerySet(QuerySet["OrmQ"]):
    """Understands conditions on ``lock``."""

    def _filter_or_exclude_inplace(
        self, negate: bool, args: Any, kwargs: dict[str, Any]
    ) -> None:
        found: dict[str, Any] = {}
        for name, value in kwargs.items():
            found |= _condition(name, value)
        super()._filter_or_exclude_inplace(negate, args, found)  # type: ignore[misc]


def _condition(name: str, value: Any) -> dict[str, Any]:
    column, _, how = name.partition("__")
    if column != "lock":
        return {name: value}
    if how == "isnull" or value is None:
        return {"claimed": not (value if how == "isnull" else True)}
    seconds = value.timestamp() if isinstance(value, dt.datetime) else value
    return {f"visible__{how or 'exact'}": seconds}


class OrmQ(QcoreOrmQ):
    """One package in a queue; ``lock`` is until when no cluster takes it."""

    objects: ClassVar = OrmQQuerySet.as_manager()

    class Meta:
        proxy = True
        app_label = "django_q"
        verbose_name = "queued task"
        default_permissions = ("add", "change", "delete", "view")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not args:
            kwargs.setdefault("visible", time.time())
            if "payload" in kwargs:
                kwargs["payload"] = bytes_of(kwargs["payload"] or "")
        super().__init__(*args, **kwargs)

    @property
    def lock(self) -> dt.datetime | None:
        """Until when it is claimed, or None."""
        if not self.claimed:
            return None
        return dt.datetime.fromtimestamp(self.visible, dt.UTC)

    @lock.setter
    def lock(self, value: dt.datetime | None) -> None:
        self.claimed = value is not None
        self.visible = time.time() if value is None else value.timestamp()

    @property
    def task(self) -> Any:
        """The dictionary of the task; of one that cannot be trusted, only an ``id``."""
        if "_task" not in self.__dict__:
            found = QcoreOrmQ.task.func(self)  # type: ignore[attr-defined]
            self.__dict__["_task"] = (
                {"id": f"*{type(found).__name__}"}
                if isinstance(found, PackageError)
                else dict_of(found)
            )
        return self.__dict__["_task"]

    def task_id(self) -> Any:  # type: ignore[override]
        """Return the id of the task."""
        return self.task.get("id")

    def name(self) -> Any:  # type: ignore[override]
        """Return the name of the task."""
        return self.task.get("name")

    def func(self) -> Any:  # type: ignore[override]
        """Return the path of the function."""
        return self.task.get("func")

    def group(self) -> Any:  # type: ignore[override]
        """Return the group of the task."""
        return self.task.get("group")

    def args(self) -> Any:
        """Return the positional arguments."""
        return self.task.get("args")

    def kwargs(self) -> Any:
        """Return the keyword arguments."""
        return self.task.get("kwargs")

    def q_options(self) -> dict[str, Any]:
        """Return the options of the task."""
        task = self.task
        names = list(task) if isinstance(task, TaskDict) else []
        return {name: task[name] for name in names if name not in _FIXED}
