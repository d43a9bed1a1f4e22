"""What the demo does when it sees that a task runs.

The tasks wait for it. So what is shown does not depend on the speed of the machine.
"""

from __future__ import annotations

from ..monitor.look import View
from ..status import WorkerStatus
from ..tasks import cancel
from . import tasks

#: Functions, as the status of a cluster names them.
PATIENT = f"{tasks.__name__}.{tasks.patient.__name__}"
LONG = f"{tasks.__name__}.{tasks.long.__name__}"


class Watch:
    """Cancels the task that runs until it is cancelled, and sees the progress of another."""

    def __init__(self) -> None:
        self._cancelled: set[str] = set()

    def look(self, view: View) -> None:
        """Do what the tasks wait for that are seen to run."""
        for worker in workers(view):
            if worker.func == PATIENT:
                self._cancel(worker.task_id)
            elif worker.func == LONG and worker.progress is not None:
                tasks.SEEN.touch()

    def _cancel(self, task_id: str | None) -> None:
        if task_id is not None and task_id not in self._cancelled:
            cancel(task_id)
            self._cancelled.add(task_id)


def workers(view: View) -> list[WorkerStatus]:
    """Return the workers of all clusters."""
    return [worker for cluster in view.running for worker in cluster.workers]
