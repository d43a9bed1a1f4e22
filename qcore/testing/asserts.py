"""For the tests of a project: say which tasks must wait in a queue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..runtime import current
from ..tasks.execute import decode
from ..tasks.functions import path_of
from ..tasks.in_tests import send_waiting

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..envelope import Task

#: What of a task can be asked for besides its call: name -> how to read it.
_ATTRIBUTES: dict[str, Callable[[Task], Any]] = {
    "group": lambda task: task.group,
    "hook": lambda task: task.hook,
    "task_name": lambda task: task.name,
    "timeout": lambda task: task.options.timeout,
    "max_attempts": lambda task: task.options.max_attempts,
    "priority": lambda task: task.priority,
}
#: What else; how it is compared depends on what is given.
_EXPIRES = "expires"


def enqueued(queue: str | None = None, *, broker: Broker | None = None) -> list[Task]:
    """Return the tasks that wait in a queue, in its order; they stay there.

    They are claimed for a moment and given back, which counts as a delivery.

    Args:
        queue: None means the project's own.
        broker: instead of the project's.

    Raises:
        Unsupported: the broker cannot give a delivery back.
        PackageError: what is queued is no package of ours.
    """
    broker = broker or current.broker(queue)
    send_waiting()
    broker.release([])  # a broker that cannot says so now, with nothing claimed
    claimed = []
    while found := broker.dequeue(broker.max_batch):
        claimed += found
    try:
        return [current.signer.verify(d.package, broker.queue) for d in claimed]
    finally:
        broker.release([delivery.receipt for delivery in claimed])


def assert_enqueued(
    func: Callable[..., Any] | str,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    count: int | None = None,
    queue: str | None = None,
    broker: Broker | None = None,
    **options: Any,
) -> list[Task]:
    """Require that a task waits in a queue; arguments that are not given match any task.

    Args:
        func: the function, or its dotted path.
        args: its positional arguments, all of them.
        kwargs: its keyword arguments, all of them.
        count: how many such tasks there must be; None means one or more, 0 none.
        queue: None means the project's own.
        broker: instead of the project's.
        options: any of group, hook, task_name, timeout, max_attempts, priority, and
            expires: a datetime, or seconds (or a timedelta) from the call.

    Returns:
        The tasks that fit.

    Raises:
        AssertionError: with the tasks that nearly fit, and in what they do not.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    if unknown := options.keys() - _ATTRIBUTES.keys() - {_EXPIRES}:
        raise TypeError(
            f"assert_enqueued() cannot compare {min(unknown)!r}; expected"
            f" {', '.join([*_ATTRIBUTES, _EXPIRES])}."
        )
    if callable(options.get("hook")):
        options["hook"] = path_of(options["hook"])
    path = func if isinstance(func, str) else path_of(func)
    wanted: dict[str, Any] = {"func": path} | options
    if args is not None:
        wanted["args"] = tuple(args)
    if kwargs is not None:
        wanted["kwargs"] = dict(kwargs)
    tasks = enqueued(queue, broker=broker)
    fitting = [task for task in tasks if not _differences(task, wanted)]
    if len(fitting) == count or (count is None and fitting):
        return fitting
    raise AssertionError(_complaint(tasks, fitting, wanted, count))


def _facts(task: Task) -> dict[str, Any]:
    args, kwargs = decode(task)
    read = {name: ask(task) for name, ask in _ATTRIBUTES.items()}
    return {"func": task.func, "args": tuple(args), "kwargs": kwargs} | read


def _differences(task: Task, wanted: Mapping[str, Any]) -> list[str]:
    facts = _facts(task) | {_EXPIRES: _expiry(task, wanted.get(_EXPIRES))}
    return [
        f"{name} is {facts[name]!r}"
        for name, value in wanted.items()
        if facts[name] != value
    ]


def _expiry(task: Task, wanted: Any) -> Any:
    """Return when a task expires, in the way that is asked for."""
    if task.expires is None:
        return None
    if isinstance(wanted, dt.datetime):
        return dt.datetime.fromtimestamp(task.expires, dt.UTC)
    seconds = round(task.expires - task.created, 3)  # sums of floats are not exact
    return (
        dt.timedelta(seconds=seconds) if isinstance(wanted, dt.timedelta) else seconds
    )


def _complaint(
    tasks: Sequence[Task],
    fitting: Sequence[Task],
    wanted: Mapping[str, Any],
    count: int | None,
) -> str:
    """Say what is there instead, what fits best first."""
    asked = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
    number = "at least one" if count is None else str(count)
    lines = [f"expected {number} waiting, found {len(fitting)}: {asked}"]
    near = sorted(tasks, key=lambda task: len(_differences(task, wanted)))
    for task in near[:10]:
        facts = _facts(task)
        given = [repr(value) for value in facts["args"]]
        given += [f"{name}={value!r}" for name, value in facts["kwargs"].items()]
        why = "; ".join(_differences(task, wanted)) or "fits"
        lines.append(f"  {task.func}({', '.join(given)})  - {why}")
    if len(tasks) > 10:
        lines.append(f"  and {len(tasks) - 10} more")
    if not tasks:
        lines.append("  the queue is empty")
    return "\n".join(lines)
