"""For the tests of a project: say which tasks must wait in a queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..clock import wall
from ..runtime import current
from ..tasks.functions import path_of
from ..tasks.in_tests import send_waiting
from .waiting import DELAYS, Waiting, as_sent

if TYPE_CHECKING:
    from ..brokers.base import Broker
    from ..envelope import Task


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
        options: of the task, as ``async_task`` takes them: group, hook, task_name, priority,
            timeout, max_attempts, backoff, track and so on, and those of plugins. None
            asks that the call has not said it; as ``timeout``, that there is no limit.
            ``expires``, ``run_after`` and ``delay`` are a datetime, or seconds (or a
            timedelta) from the call; the last two are compared to within 5 seconds. Who
            asks for one of those two looks at delayed tasks, too, also in the outbox;
            otherwise these do not count.

    Returns:
        The tasks that fit.

    Raises:
        AssertionError: with the tasks that nearly fit, and in what they do not.
        TypeError: an option cannot be compared.
        EnqueueError: no task could have this value of an option.
        Unsupported: the broker cannot give a delivery back, or cannot look at what it
            delays.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    path = func if isinstance(func, str) else path_of(func)
    wanted: dict[str, Any] = {"func": path} | as_sent(options)
    if args is not None:
        wanted["args"] = tuple(args)
    if kwargs is not None:
        wanted["kwargs"] = dict(kwargs)
    broker = broker or current.broker(queue)
    tasks = [Waiting(task) for task in enqueued(broker=broker)]
    if wanted.keys() & DELAYS:
        tasks += _delayed(broker)
    fitting = [one.task for one in tasks if not one.differences(wanted)]
    if len(fitting) == count or (count is None and fitting):
        return fitting
    raise AssertionError(_complaint(tasks, len(fitting), wanted, count))


def _delayed(broker: Broker) -> list[Waiting]:
    """Return the tasks of a queue that may not start yet."""
    found = _due(broker.delayed())
    outbox = current.outbox
    if outbox is not None and outbox.is_usable:
        found += _due(outbox.delayed(broker.queue))
    return [
        Waiting(current.signer.verify(package, broker.queue), due)
        for due, package in found
    ]


def _due(found: Sequence[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Return packages with the moments when they may start, in seconds since the epoch."""
    now = wall()
    return [(now + ahead, package) for ahead, package in found]


def _complaint(
    tasks: Sequence[Waiting],
    fitting: int,
    wanted: Mapping[str, Any],
    count: int | None,
) -> str:
    """Say what is there instead, what fits best first."""
    asked = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
    number = "at least one" if count is None else str(count)
    lines = [f"expected {number} waiting, found {fitting}: {asked}"]
    near = sorted(tasks, key=lambda one: len(one.differences(wanted)))
    for one in near[:10]:
        facts = one.facts(wanted)
        given = [repr(value) for value in facts["args"]]
        given += [f"{name}={value!r}" for name, value in facts["kwargs"].items()]
        why = "; ".join(one.differences(wanted)) or "fits"
        lines.append(f"  {one.task.func}({', '.join(given)})  - {why}")
    if len(tasks) > 10:
        lines.append(f"  and {len(tasks) - 10} more")
    if not tasks:
        lines.append("  the queue is empty")
    return "\n".join(lines)
