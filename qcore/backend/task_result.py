"""What a task of ``django.tasks`` says of itself: Django's TaskResult, and two things more."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..status import Progress
from ..tasks import async_variants
from ..tasks.control import cancel
from ..tasks.progress_report import aprogress, progress
from .api import TaskError, TaskResult, TaskResultStatus

_CANCELLED = "qcore.errors.TaskCancelled"


class QcoreTaskResult(TaskResult):  # type: ignore[misc]
    """The TaskResult of Django, which can be cancelled and tells how far its task is."""

    __slots__ = ()

    def cancel(self) -> str:
        """Ask that the task does not run, or runs no further; see ``qcore.tasks.cancel``.

        ``refresh()`` then shows how it went: a task that is cancelled is ``FAILED``, and its
        error is ``qcore.errors.TaskCancelled``.

        Returns:
            What was found: "ended" (nothing is asked then), "running", "waiting",
            "scheduled", "parked" or "suspended".

        Raises:
            CallError: an event loop would wait; call ``acancel``.
            ConfigError: the project has no ledger.
            StoreError: the ledger or the results cannot be reached.
        """
        if self.is_finished:
            return "ended"
        return cancel(self.id)[self.id]

    async def acancel(self) -> str:
        """Do what ``cancel`` does, for ``await``."""
        if self.is_finished:
            return "ended"
        found: dict[str, str] = await async_variants.acancel(self.id)
        return found[self.id]

    @property
    def progress(self) -> Progress | None:
        """How far the running task is: ``done``, ``total`` and ``note``; read anew each time.

        None where it does not run, or has told nothing.

        Raises:
            CallError: an event loop would wait; call ``aprogress``.
            BrokerError, StoreError: the status of clusters cannot be read now.
        """
        return progress(self.id)

    async def aprogress(self) -> Progress | None:
        """Return what ``progress`` is, for ``await``."""
        return await aprogress(self.id)


class TwinResult(QcoreTaskResult):
    """The same of a backend for tests, which asks no table and no cluster."""

    __slots__ = ()

    @classmethod
    def of(cls, result: Any) -> TwinResult:
        """Return a result of Django as one of ours; lists and arguments stay the same."""
        made: TwinResult = object.__new__(cls)
        for field in dataclasses.fields(TaskResult):
            object.__setattr__(made, field.name, getattr(result, field.name))
        return made

    def cancel(self) -> str:
        """Cancel a task that nothing runs: it is ``FAILED`` from now on.

        Returns:
            "ended" where it has run already, and else "waiting".
        """
        if self.is_finished:
            return "ended"
        remembered = getattr(self.task.get_backend(), "results", [])
        for one in [
            self,
            *(r for r in remembered if r.id == self.id and r is not self),
        ]:
            one.errors.append(TaskError(exception_class_path=_CANCELLED, traceback=""))
            object.__setattr__(one, "status", TaskResultStatus.FAILED)
        return "waiting"

    async def acancel(self) -> str:
        """Do what ``cancel`` does, for ``await``."""
        return self.cancel()

    @property
    def progress(self) -> None:
        """None: nothing runs beside the caller."""
        return None

    async def aprogress(self) -> None:
        """Return what ``progress`` is, for ``await``."""
        return
