"""Features: what qcore and the plugins that decide about tasks tell each other.

The hooks that use these types are in ``hookspecs``: ``qcore_task_options`` and
``qcore_before_send`` in the sender, ``qcore_admit`` at the claim of a task, ``qcore_settle``
at its end, and ``qcore_sweep`` from time to time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from .envelope import Task


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
    """Which attempt at the task this is, from 1."""
    lease_end: float
    """When the broker may hand the task out again, on the monotonic clock of this machine,
    in seconds. A cluster that renews leases moves this moment on."""

    @property
    def gen(self) -> int:
        """How often the task was sent again, as a new package."""
        return self.task.gen


class Admission(msgspec.Struct, frozen=True, gc=False):
    """What a plugin says of a claim: one of ``RUN`` and ``Drop``."""


class _Run(Admission, frozen=True, gc=False):
    """The task may run, as far as this plugin is concerned."""

    def __repr__(self) -> str:
        return "RUN"


#: The task may run, as far as this plugin is concerned.
RUN = _Run()


class Drop(Admission, frozen=True, gc=False):
    """The task never runs: it ends now, with an outcome that is stored."""

    outcome: str
    """One of ``qcore.envelope.Outcome``, but neither "success" nor "stopped"."""
    why: str
    """One line for people: it becomes the text of the result."""
