"""A task as the dictionary that django-q's users know, and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

from qcore.conf.names import label_fault
from qcore.envelope import Task
from qcore.tasks.calls import build
from qcore.tasks.execute import decode

#: Options of django-q that travel, by their name there and here.
OPTIONS = {
    "hook": "hook",
    "group": "group",
    "save": "save",
    "sync": "sync",
    "cached": "cached",
    "ack_failure": "ack_failure",
    "cluster": "cluster",
    "timeout": "timeout",
}


class TaskDict(MutableMapping[str, Any]):
    """The dictionary of a task; its arguments are decoded when they are asked for.

    So a page can show the rest of a task whose arguments are a pickle.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._values: dict[str, Any] = {
            "id": task.id,
            "name": task.name,
            "func": task.func,
            "started": dt.datetime.fromtimestamp(task.created, dt.UTC),
            "cluster": task.queue,
        }
        for name in ("hook", "group", "iter_count"):
            if (value := getattr(task, name)) is not None:
                self._values[name] = value
        for name in ("timeout", "ack_failure", "save", "cached"):
            value = getattr(task.options, name)
            if value is not msgspec.UNSET:
                self._values[name] = value
        self._keys = {*self._values, "args", "kwargs"}

    def __getitem__(self, key: str) -> Any:
        if key in ("args", "kwargs") and key not in self._values and key in self._keys:
            args, kwargs = decode(self._task)
            self._values.setdefault("args", tuple(args))
            self._values.setdefault("kwargs", kwargs)
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._keys.add(key)

    def __delitem__(self, key: str) -> None:
        if key not in self._keys:
            raise KeyError(key)
        self._keys.discard(key)
        self._values.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._keys))

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        shown = {key: self._values.get(key, "...") for key in self}
        return repr(shown)


def dict_of(task: Task) -> TaskDict:
    """Return the dictionary of a task that was verified."""
    return TaskDict(task)


def is_task(value: object) -> bool:
    """Return whether something is the dictionary of a task that is yet to run."""
    return (
        isinstance(value, Mapping)
        and {"id", "func"} <= value.keys()
        and "result" not in value
    )


def task_of(package: Mapping[str, Any]) -> Task:
    """Return the task of a dictionary.

    Raises:
        EnqueueError: it cannot be sent.
    """
    func = package["func"]
    args, kwargs = package.get("args") or (), dict(package.get("kwargs") or {})
    options = {
        own: package[name]
        for name, own in OPTIONS.items()
        if name in package and (name == "timeout" or package[name] is not None)
    }
    options.pop("sync", None)
    if options.get("cached"):
        options.pop(
            "save", None
        )  # it says what the database keeps, and that is nothing
    name = package.get("name")
    if name and not label_fault(name):
        options["task_name"] = name
    chain = package.get("chain")
    task = build(
        func,
        args,
        kwargs,
        task_id=package["id"],
        announced=True,
        chain=_links(chain) if chain else (),
        **options,
    )
    started = package.get("started")
    if isinstance(started, dt.datetime):
        if started.tzinfo is None:
            started = started.astimezone()
        task = msgspec.structs.replace(task, created=started.timestamp())
    return task


def _links(chain: Any) -> list[Any]:
    from qcore.tasks.functions import path_of

    links = []
    for one in chain:
        link = one if isinstance(one, tuple | list) else (one,)
        args = list(link[1]) if len(link) > 1 else []
        kwargs = dict(link[2]) if len(link) > 2 else {}
        links.append((path_of(link[0]), args, kwargs))
    return links
