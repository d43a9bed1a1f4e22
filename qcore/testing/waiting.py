"""Waiting: a task of a queue, and what a test may ask of it besides its call."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from ..tasks import plugin_options
from ..tasks.execute import decode
from ..tasks.option import held
from ..tasks.option_table import OWN_FIELDS, TABLE

if TYPE_CHECKING:
    from ..envelope import Task

#: Seconds in which two moments are the same. A delay counts from when the package is stored,
#: and not from the call; and the clock of a database is another one.
NEAR = 5.0

#: What is compared as a moment, in the way that is asked for.
_EXPIRES, _DELAY, _RUN_AFTER = "expires", "delay", "run_after"
#: Whoever asks for one of them looks at delayed tasks, too.
DELAYS = frozenset({_DELAY, _RUN_AFTER})

#: Fields of a task: name of the option -> how to read it.
_OF_TASK: dict[str, Callable[[Task], Any]] = {
    "group": lambda task: task.group,
    "hook": lambda task: task.hook,
    "task_name": lambda task: task.name,
    "priority": lambda task: task.priority,
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits in a queue, or is to be sent to it later.

    Args:
        task: the task.
        due: when it may start, in seconds since the epoch; None: now.
    """

    task: Task
    due: float | None = None

    def facts(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is known of it, moments in the way of what is wanted."""
        args, kwargs = decode(self.task)
        found = {"func": self.task.func, "args": tuple(args), "kwargs": kwargs}
        for name in wanted.keys() - found.keys():
            found[name] = self._fact(name, wanted[name])
        return found

    def _fact(self, name: str, wanted: Any) -> Any:
        if name in _OF_TASK:
            return _OF_TASK[name](self.task)
        if name == _EXPIRES:
            return _as_wanted(self.task.created, self.task.expires, wanted)
        if name in DELAYS:
            return _as_wanted(self.task.created, self.due, wanted)
        if name in OWN_FIELDS:
            value = getattr(self.task.options, name)
            if TABLE[name].none_counts:  # None is a value of its own
                return value
            return None if value is UNSET or value == () else value
        plugins = self.task.options.plugins
        return None if plugins is UNSET else plugins.get(name)

    def differences(self, wanted: Mapping[str, Any]) -> list[str]:
        """Return in what it is not as it is wanted."""
        facts = self.facts(wanted)
        return [
            f"{name} is {facts[name]!r}"
            for name, value in wanted.items()
            if not _fits(name, facts[name], value)
        ]


def comparable() -> list[str]:
    """Return the options that can be asked for, those of plugins last."""
    own = sorted({*_OF_TASK, *OWN_FIELDS, _EXPIRES, *DELAYS})
    return [*own, *sorted(plugin_options.names())]


def as_sent(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a task has them: functions and classes as their paths.

    Raises:
        TypeError: one of them cannot be compared.
        EnqueueError: no task could have this value.
    """
    known = comparable()
    if unknown := options.keys() - set(known):
        raise TypeError(
            f"assert_enqueued() cannot compare {min(unknown)!r}; expected"
            f" {', '.join(known)}."
        )
    return {name: _as_sent(name, value) for name, value in options.items()}


def _as_sent(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in TABLE:
        checked = held(name, value, TABLE[name].check)
        # a moment is compared in the words of the test: seconds or a timedelta
        return value if name in {_EXPIRES, *DELAYS} else checked
    return plugin_options.read(plugin_options.names()[name], value)


def _as_wanted(created: float, at: float | None, wanted: Any) -> Any:
    """Return a moment in the way that is asked for: seconds from the call, or a moment."""
    if at is None:
        return None
    if isinstance(wanted, dt.datetime):
        return dt.datetime.fromtimestamp(at, dt.UTC)
    seconds = round(at - created, 3)  # sums of floats are not exact
    if isinstance(wanted, dt.timedelta):
        return dt.timedelta(seconds=seconds)
    return seconds


def _fits(name: str, fact: Any, wanted: Any) -> bool:
    if name not in DELAYS:
        return bool(fact == wanted)
    if not wanted:  # None, or no delay at all
        return fact is None
    if fact is None:
        return False
    apart = fact - wanted
    if isinstance(apart, dt.timedelta):
        apart = apart.total_seconds()
    return bool(abs(apart) <= NEAR)
