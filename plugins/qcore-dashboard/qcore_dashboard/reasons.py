"""Why a task waits: all reasons that are known, the strongest first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from qcore.masking import mask_url
from qcore.monitor.text import paused, plural, seconds
from qcore.runtime import current
from qcore.tasks.state import State

if TYPE_CHECKING:
    from .live import Now
    from .sighting import Sighting

_WAITS = frozenset(
    {State.WAITING, State.SCHEDULED, State.PARKED, State.SUSPENDED, State.FAILED}
)


def reasons(seen: Sighting, now: Now, sizes: dict[str, Any]) -> list[str]:
    """Return sentences; none for a task that runs or has ended.

    Args:
        seen: what is known of the task.
        now: the clusters and the pauses.
        sizes: of its queue.
    """
    state, due = seen.state, seen.due
    if state is None:
        return [
            (
                "Nothing is known of this task. It may wait in the queue of the broker, its"
                " result may not be kept any more, or no task has this id."
            )
        ]
    if state not in _WAITS:
        return []
    queue = seen.queue or current.conf.queue
    told = _held_back(seen)
    told += _queue(queue, now)
    if state == State.FAILED and due is None:
        told.append(
            "Its last attempt failed. It is tried again when the lease of that attempt"
            f" ends: {seconds(float(current.conf.retry))} after its claim at the latest."
        )
    if state == State.WAITING:
        told += _ahead(queue, now, sizes)
    return told


def _held_back(seen: Sighting) -> list[str]:
    due = None if seen.due is None else seen.due[0]
    if seen.place == State.PARKED:
        return ["It is parked: it waits in the outbox until a plugin wakes it."]
    left = None if due is None else due - time.time()
    if seen.place == State.SUSPENDED:
        until = f" It goes on in {seconds(left)}." if left and left > 0 else ""
        return [
            f"It is suspended: it has begun, and sleeps or waits for an event.{until}"
        ]
    if left is None:
        return []
    if left > 0:
        return [f"It is sent in {seconds(left)}, and not before."]
    return [
        f"It was to be sent {seconds(-left)} ago. A cluster sends it: see whether one runs."
    ]


def _queue(queue: str, now: Now) -> list[str]:
    told = []
    if pause := (now.paused or {}).get(queue):
        text = paused(msgspec.to_builtins(pause), time.time())
        told.append(f"The queue {queue} is {mask_url(text)}.")
    if now.clusters is None:
        told.append(f"Whether a cluster works on the queue {queue} is not known.")
        return told
    mine = [one for one in now.clusters if one.queue == queue]
    if not mine:
        told.append(f"No cluster works on the queue {queue}. Start one: qcore cluster")
    told += [
        f"A cluster of the queue reports: {mask_url(str(one.problem))}"
        for one in mine
        if one.problem
    ]
    return told


def _ahead(queue: str, now: Now, sizes: dict[str, Any]) -> list[str]:
    told = []
    busy = now.busy(queue)
    if busy and busy[1] and busy[0] == busy[1]:
        told.append(f"All {plural(busy[1], 'worker')} of the queue are busy.")
    waiting, oldest = sizes["waiting"], sizes["oldest_seconds"]
    if waiting:
        text = f"{plural(waiting, 'task')} {'waits' if waiting == 1 else 'wait'} there"
        told.append(
            f"{text}{(oldest and f', the oldest for {seconds(oldest)}') or ''}."
        )
    elif waiting is None:
        told.append("How many tasks wait in the queue is not known.")
    return told
