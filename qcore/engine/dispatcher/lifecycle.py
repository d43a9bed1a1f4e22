"""Runs in: the dispatcher. The states of a job, and the transitions between them.

A job stands in exactly one place, and its state names this place. Only the owner of the
place makes the transition into it. A test reads the table below and checks every
transition against it. The manual draws the table.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import NamedTuple

logger = logging.getLogger("qcore.dispatcher")


class JobState(StrEnum):
    """Where a job stands."""

    CLAIMED = "claimed"  # the pusher has it, from the broker
    READY = "ready"  # it waits for a worker
    PREFETCHED = "prefetched"  # its order lies in the prefetch queue of a busy worker
    RUNNING = "running"  # a worker does it, as far as is known
    ENDED = "ended"  # its result waits to be stored
    STORED = "stored"  # its result is stored, and its delivery waits to be settled
    RETURNING = "returning"  # its delivery waits to be given back
    # the exits: the cluster holds the delivery no more
    SETTLED = "settled"  # acknowledged
    RELEASED = "released"  # given back to the broker
    LEFT = "left"  # left to its lease: the broker delivers the task again
    LOST = "lost"  # its lease has ended; somebody else may have the delivery


class Transition(NamedTuple):
    """One way from a state to another."""

    source: JobState
    target: JobState
    why: str


_S = JobState

#: Every transition that may happen; each is named by what happens to the job.
TRANSITIONS = (
    Transition(_S.CLAIMED, _S.READY, "handed to the loop"),
    Transition(_S.CLAIMED, _S.STORED, "its end is stored already"),
    Transition(_S.CLAIMED, _S.ENDED, "expired, cancelled, or a plugin drops it"),
    Transition(_S.CLAIMED, _S.RELEASED, "put off, to run alone elsewhere"),
    Transition(_S.CLAIMED, _S.LEFT, "put off, and the broker cannot delay"),
    Transition(_S.CLAIMED, _S.LOST, "its lease ended while the store was asked"),
    Transition(_S.READY, _S.PREFETCHED, "laid ahead"),
    Transition(_S.READY, _S.RUNNING, "assigned"),
    Transition(
        _S.READY, _S.ENDED, "expired, cancelled, or no order can be written for it"
    ),
    Transition(_S.READY, _S.RETURNING, "the cluster stops"),
    Transition(_S.READY, _S.LEFT, "delivered twice"),
    Transition(_S.READY, _S.LOST, "its lease ended"),
    Transition(_S.PREFETCHED, _S.READY, "recalled, or its worker died"),
    Transition(_S.PREFETCHED, _S.RUNNING, "next for its worker"),
    Transition(_S.RUNNING, _S.READY, "not begun after all, or its hook died"),
    Transition(_S.RUNNING, _S.ENDED, "its worker replied or died"),
    Transition(_S.RUNNING, _S.STORED, "its follow-up is done"),
    Transition(_S.RUNNING, _S.RETURNING, "stopped"),
    Transition(_S.RUNNING, _S.LEFT, "its next link cannot be made"),
    Transition(_S.RUNNING, _S.LOST, "its lease ended"),
    Transition(_S.ENDED, _S.STORED, "stored"),
    Transition(_S.ENDED, _S.LEFT, "no store takes its result"),
    Transition(_S.STORED, _S.READY, "its hook is to be called"),
    Transition(_S.STORED, _S.SETTLED, "acknowledged"),
    Transition(_S.STORED, _S.RELEASED, "to be tried again at once"),
    Transition(_S.STORED, _S.LEFT, "to be tried again after its lease"),
    Transition(_S.RETURNING, _S.RELEASED, "given back"),
    Transition(_S.RETURNING, _S.LEFT, "the broker cannot take it back"),
)

#: Who makes the transitions into a state: the file of the place where the job then stands.
OWNERS = {
    _S.READY: "ready",
    _S.PREFETCHED: "prefetched",
    _S.RUNNING: "pool",
    _S.ENDED: "recorder",
    _S.STORED: "recorder",
    _S.RETURNING: "recorder",
    _S.SETTLED: "state",
    _S.RELEASED: "state",
    _S.LEFT: "state",
    _S.LOST: "state",
}

#: The states that a job may enter from each state.
AFTER = {
    state: frozenset(one.target for one in TRANSITIONS if one.source is state)
    for state in JobState
}
#: The states of jobs that the cluster holds no more.
EXITS = frozenset(state for state in JobState if not AFTER[state])
#: The states of jobs that are the loop's: in order to be assigned, or with a worker.
WITH_THE_LOOP = (JobState.READY, JobState.PREFETCHED, JobState.RUNNING)
#: The states of jobs that are the recorder's.
WITH_THE_RECORDER = (JobState.ENDED, JobState.STORED, JobState.RETURNING)


def report_illegal(task_id: str, source: JobState, target: JobState) -> None:
    """Log a transition that is not in the table.

    Such a transition is a fault of qcore. It must not stop running tasks: the job goes on,
    and at worst its lease ends and the broker delivers the task again.
    """
    logger.error(
        "%s went from %s to %s, which is not foreseen; please report this",
        task_id, source, target, stack_info=True,
    )  # fmt: skip
