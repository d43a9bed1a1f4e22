"""Runs in: the pusher. Remembers the tasks on which their plugins fail, each of them alone.

Such a task is given back, and asked about again. It cannot go round for ever: if the same
plugins let other tasks through meanwhile, the task itself is the reason, and its package goes
to the quarantine after ten minutes. Where no other task has come, nobody knows whose fault it
is: then the task waits for a day, in which somebody may mend the plugin.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from ...errors import PluginFailed, PluginUnready
from ...masking import mask_url
from .job import Job

#: Seconds after which a task is given up whose plugins work for others, and after which one
#: is of which that is not known.
PATIENCE, LONGEST = 600.0, 86_400.0
#: Such tasks that are remembered; the oldest ones are forgotten first, and begin anew.
_MOST = 10_000


class Record(msgspec.Struct):
    """What is known of one such task; times are of the monotonic clock."""

    needs: tuple[str, ...]
    first: float
    last: float
    times: int = 0
    #: whether its plugins have let another task through since ``first``
    works: bool = False


class Culprits:
    """Such tasks, by their ids.

    Args:
        memory: seconds for which a task is remembered that does not come again: it comes
            after a pause, or after its lease.
    """

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._found: dict[str, Record] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._found

    def convict(self, job: Job, error: BaseException) -> PluginFailed | None:
        """Note that a task has failed alone; return why it is given up, or None.

        Tables that are missing, until somebody runs ``migrate``, are no fault of a task.
        """
        self.forget()
        now = time.monotonic()
        id, needs = job.task.id, tuple(job.task.needs)
        record = self._found.setdefault(id, Record(needs, now, now))
        while len(self._found) > _MOST:
            del self._found[next(iter(self._found))]
        if isinstance(error, PluginUnready):
            record.first, record.works = now, False
        record.last = now
        record.times += 1
        if now - record.first < (PATIENCE if record.works else LONGEST):
            return None
        self._found.pop(id, None)
        return PluginFailed(
            f"the task {id} ({job.task.func}) cannot be admitted: the plugins that it needs"
            f" ({', '.join(needs)}) have failed on it {record.times:,} times in"
            f" {now - record.first:,.0f} s. The last time: {type(error).__name__}:"
            f" {mask_url(str(error))}"
        )

    def served(self, jobs: Sequence[Job]) -> None:
        """Note that plugins have answered for these jobs."""
        if not self._found:
            return  # nearly always
        needs = {tuple(job.task.needs) for job in jobs}
        for job in jobs:
            self._found.pop(job.task.id, None)
        for record in self._found.values():
            record.works = record.works or record.needs in needs

    def forget(self) -> None:
        """Forget tasks that have not come again for long: somebody else has had them."""
        before = time.monotonic() - self._memory
        for id in [id for id, one in self._found.items() if one.last < before]:
            del self._found[id]
