"""A failed run of a task, as error reporters hear of it."""

from __future__ import annotations

from qcore.reporters.base import Report


def report(exception: BaseException | None = None) -> Report:
    """Return a failure with its exception, or without one the death of a worker."""
    return Report(
        task_id="1" * 32,
        task_name="nightly",
        func="shop.tasks.nightly",
        queue="shop",
        group=None,
        attempt=1,
        outcome="failure" if exception else "crash",
        message="ValueError: no" if exception else "WorkerDied: killed by SIGKILL",
        worker="host:1",
        exception=exception,
    )
