"""Features: what qcore and the plugins that decide about tasks tell each other.

The hooks that use these types are in ``hookspecs``: ``qcore_task_options`` and
``qcore_before_send`` in the sender, ``qcore_admit`` at the claim of a task, ``qcore_settle``
at its end, and ``qcore_sweep`` from time to time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from .envelope import Task
from .settled import TicketState


@dataclass(frozen=True, slots=True)
class TaskOption:
    """One option that a plugin adds to tasks, as the hook ``qcore_task_options`` declares it.

    ::

        TaskOption("unique", read_unique, "True, a key template, or a Unique(...).")

    A caller writes the option into ``q_options``; qcore calls ``read`` where the call is
    made. The value that ``read`` returns travels with the task as JSON: the hook
    ``qcore_before_send`` gets it, also for the next link of a chain.
    """

    name: str
    """The key in ``q_options``: a Python name in lower case."""
    read: Callable[[Any], Any]
    """Returns the value of a caller as plain data: None, numbers, texts, lists, dicts. It
    raises ValueError with the words after "expected": ``ValueError("True or a text")``. None
    says nothing, as if the option were left out. A
    schedule stores what ``read`` has returned, so ``read`` must accept that, too."""
    help: str
    """The meaning, for the manual: sentences that end with a full stop."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A task that a cluster has claimed and not begun, for the hook ``qcore_admit``."""

    task: Task
    attempt: int
    """Which attempt at the task this is, from 1, if it runs now."""
    lease_end: float
    """When the broker may hand the task out again, on the monotonic clock of this machine,
    in seconds. A cluster that renews leases moves this moment on."""
    start: int = 0
    """The number of this start of the task, if it runs now: higher than that of every
    earlier start that has begun. ``Settled.start`` is the same number."""

    @property
    def gen(self) -> int:
        """How often the task was sent again, as a new package."""
        return self.task.gen


class Admission(msgspec.Struct, frozen=True, gc=False):
    """What a plugin says of a claim: ``RUN``, ``RUN_HOLDING``, ``Drop``, ``Later``, ``Park`` or ``Release``."""


class Run(Admission, frozen=True, gc=False):
    """The task may run, as far as this plugin is concerned: ``RUN`` or ``RUN_HOLDING``."""

    holds: bool = False
    """Whether the task holds something meanwhile that the hook ``qcore_renew`` renews."""

    def __repr__(self) -> str:
        return "RUN_HOLDING" if self.holds else "RUN"


#: The task may run, as far as this plugin is concerned.
RUN = Run()
#: The task may run, and holds something until it ends, such as a place under a limit. The
#: hook ``qcore_renew`` is called for it. A cluster that cannot do so for 40 seconds kills its
#: worker, so that what it holds can be given to another task.
RUN_HOLDING = Run(holds=True)


class Drop(Admission, frozen=True, gc=False):
    """The task never runs: it ends now, with an outcome that is stored."""

    outcome: str
    """One of ``qcore.envelope.Outcome``, but neither "success" nor "stopped"."""
    why: str
    """One line for people: it becomes the text of the result."""


class Later(Admission, frozen=True, gc=False):
    """The task is sent again after some time, as a new package; no attempt is used up."""

    after: float
    """Seconds, 0 or more."""
    why: str = ""
    """One line for people, for the log."""


class Park(Admission, frozen=True, gc=False):
    """The task waits in the outbox until the plugin wakes it; no attempt is used up.

    The plugin calls ``current.ledger.wake(name, ids)`` with the name of its entry point. A
    task that is cancelled, or expires, is woken by qcore, and ends.
    """

    why: str = ""
    """One line for people, for the log."""


class Release(Admission, frozen=True, gc=False):
    """The delivery is given back for some time; the task stays this package.

    For a copy of a task that runs: sending the task again would make the running one void.
    A broker that cannot delay a delivery presents it again after its lease.
    """

    after: float
    """Seconds, 0 or more."""
    why: str = ""
    """One line for people, for the log."""


class Admitted(NamedTuple):
    """The answer to a claim, with what the ticket of its task says after it."""

    answer: Admission
    ticket: TicketState | None = None
