"""Runs in: the pusher. Hands claimed jobs to the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...envelope import Attempt
from ...tasks.moments import expired
from .capacity import Capacity
from .job import Job
from .state import SharedState


class JobReceiver(Protocol):
    """What takes claimed jobs: the loop."""

    def receive(self, jobs: Sequence[Job]) -> None:
        """Take jobs that are to be done."""

    def receive_finished(self, job: Job, end: Attempt) -> None:
        """Take a job whose task an earlier attempt has finished, with that end."""

    def receive_dropped(self, job: Job) -> None:
        """Take a job of which only the delivery is to be acknowledged."""

    def receive_ended(self, job: Job, end: Attempt) -> None:
        """Take a job that ends now, without a run: its end is to be stored."""


class Onward(Protocol):
    """What takes jobs on their way from the broker to the loop."""

    def give(self, jobs: Sequence[Job]) -> None:
        """Take jobs that are to be done."""

    def give_finished(self, job: Job, end: Attempt) -> None:
        """Take a job whose end is stored already, with that end."""

    def drop(self, job: Job) -> None:
        """Take a job of which only the delivery is to be acknowledged."""


class Handover:
    """Hands claimed jobs to the loop, and counts them.

    Args:
        shared: what the threads share.
        capacity: counts the jobs that are on their way.
        receiver: takes the jobs.
    """

    def __init__(
        self, shared: SharedState, capacity: Capacity, receiver: JobReceiver
    ) -> None:
        self._shared = shared
        self._capacity = capacity
        self._receiver = receiver

    def give(self, jobs: Sequence[Job]) -> None:
        """Hand jobs over that are to be done; those that have expired, with that end."""
        # lists here and in the pusher: a generator is resumed for each job
        if any([job.task.expires is not None for job in jobs]):  # noqa: C419
            jobs = self._without_expired(jobs)
        if jobs:
            self._shared.held.update(jobs)
            self._capacity.arrive(len(jobs))
            self._receiver.receive(jobs)

    def _without_expired(self, jobs: Sequence[Job]) -> list[Job]:
        left = []
        for job in jobs:
            if (end := expired(job.task)) is None:
                left.append(job)
            else:
                self._shared.held.add(job)
                self._receiver.receive_ended(job, end)
        return left

    def give_finished(self, job: Job, end: Attempt) -> None:
        """Hand over a job whose end is stored already, with that end."""
        self._receiver.receive_finished(job, end)

    def drop(self, job: Job) -> None:
        """Hand over a job that is not done: its delivery is acknowledged."""
        self._receiver.receive_dropped(job)

    def give_ended(self, job: Job, end: Attempt) -> None:
        """Hand over a job that ends now, without a run."""
        self._receiver.receive_ended(job, end)
