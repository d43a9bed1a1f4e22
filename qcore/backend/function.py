"""A task function that is a task of Django: what ``qcore.task(backend=...)`` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ..conf.names import shown
from ..errors import EnqueueError
from ..tasks.enqueueing import as_calls
from ..tasks.functions import resolve
from ..tasks.options import check_options, over, own_name
from ..tasks.task_function import TaskFunction
from .api import Task

if TYPE_CHECKING:
    from ..tasks.waiting import Wait

P = ParamSpec("P")
C = TypeVar("C")
R = TypeVar("R")

#: Options that a task of Django cannot have, and what stands in their place.
_REFUSED = {
    "broker": "The backend knows where to send it.",
    "hook": "Connect the signal task_finished.",
    "sync": "Name qcore.backend.ImmediateBackend in TASKS to run tasks at once.",
    "task_id": "The backend makes the id.",
    "task_name": "Its result is found by its id.",
    "track": "It is always tracked.",
    "typed": "Its arguments are what Django's JSON takes.",
}


class DjangoTaskFunction(TaskFunction[P, C, R], Task):  # type: ignore[misc]
    """A task function whose tasks go through a backend of ``TASKS``; a ``Task`` of Django.

    It has all that both have. Where they differ it does as Django: ``enqueue`` and
    ``get_result`` return a ``TaskResult``.

    Args:
        func: a function at the top of a module.
        options: of its tasks, checked.
        backend: the alias in ``TASKS``.

    Raises:
        EnqueueError: an option is not for tasks of Django.
        InvalidTask: the backend refuses the task.
        InvalidTaskBackend: ``TASKS`` has no such backend.
    """

    # Django's class is frozen; tests patch task functions
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__

    def __init__(
        self, func: Callable[P, C], options: Mapping[str, Any], backend: str
    ) -> None:
        for name in options.keys() & _REFUSED.keys():
            raise EnqueueError(
                f"option {name!r} cannot stand beside 'backend', which makes a task of"
                f" Django. {_REFUSED[name]}"
            )
        super().__init__(func, options)
        self.backend = backend
        self.get_backend().validate_task(self)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle it by its path, as functions are."""
        if self._is_declared():
            return self.func.__qualname__
        return _derived, (self.path, self.options, self.backend)

    def using(
        self, *, backend: str | None = None, **options: Any
    ) -> DjangoTaskFunction[P, C, R]:
        """Return a task of the same function with other options over its own.

        Args:
            backend: the alias in ``TASKS``; None leaves it as it is.
            options: of ``async_task``, and ``queue_name``, as Django calls the queue.

        Raises:
            EnqueueError: an option is unknown, has a wrong type or range, or is not for tasks
                of Django.
            InvalidTask: the backend refuses the task.
        """
        if "task_id" in options:
            raise EnqueueError(
                "option 'task_id' cannot stand beside 'backend', which makes a task of"
                f" Django. {_REFUSED['task_id']}"
            )
        options = with_own_words(options)
        said = check_options(options)
        named = {own_name(name) for name in options}
        kept = {key: self.options[key] for key in self.options.keys() - named}
        return DjangoTaskFunction(self.func, over(kept, said), backend or self.backend)

    # -- sending -------------------------------------------------------------------
    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Send a call through the backend; all arguments are the function's.

        Returns:
            Its ``TaskResult``; with a backend of qcore, one that can be cancelled.

        Raises:
            InvalidTask: the backend refuses the task.
            TypeError: an argument is not for JSON.
            EnqueueError: the arguments do not fit the function, or are too large.
            BrokerError: the queue failed.
        """
        return self.get_backend().enqueue(self, args, kwargs)

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Do what ``enqueue`` does, for ``await``."""
        return await self.get_backend().aenqueue(self, args, kwargs)

    def map(self, args_list: Iterable[Any]) -> list[Any]:
        """Send one call for each element, one after the other; return their results.

        Args:
            args_list: for each call a list or tuple of its positional arguments, or its only
                argument.

        Raises:
            Exception: as of ``enqueue``; the calls before the wrong one are sent.
        """
        backend = self.get_backend()
        return [backend.enqueue(self, list(args), {}) for args in as_calls(args_list)]

    async def amap(self, args_list: Iterable[Any]) -> list[Any]:
        """Do what ``map`` does, for ``await``."""
        backend = self.get_backend()
        return [
            await backend.aenqueue(self, list(args), {}) for args in as_calls(args_list)
        ]

    # -- afterwards ----------------------------------------------------------------
    def get_result(self, result_id: str, wait: Wait = 0) -> Any:
        """Return the ``TaskResult`` of a task of this function, as Django does.

        Raises:
            TaskResultDoesNotExist: no task has this id.
            TaskResultMismatch: it is one of another function.
            EnqueueError: ``wait`` is given; Django's tasks do not wait.
        """
        _refuse_wait(wait)
        return Task.get_result(self, result_id)

    async def aget_result(self, result_id: str, wait: Wait = 0) -> Any:
        """Do what ``get_result`` does, for ``await``."""
        _refuse_wait(wait)
        return await Task.aget_result(self, result_id)


def made(
    func: Callable[..., Any], options: Mapping[str, Any], backend: object
) -> DjangoTaskFunction[Any, Any, Any]:
    """Return the task of Django that a decorator makes of a function.

    Raises:
        EnqueueError, InvalidTask, InvalidTaskBackend: see ``DjangoTaskFunction``.
    """
    if not isinstance(backend, str) or not backend:
        raise EnqueueError(
            f"option 'backend' is {shown(backend)}, expected the name of a backend in TASKS,"
            " such as 'default'."
        )
    return DjangoTaskFunction(func, options, backend)


def with_own_words(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the word of qcore for Django's ``queue_name``."""
    found = dict(options)
    if "queue_name" in found:
        found["queue"] = found.pop("queue_name")
    return found


def _refuse_wait(wait: Wait) -> None:
    if wait:
        raise EnqueueError(
            "get_result() of a task of Django does not wait. Call"
            " qcore.tasks.result(id, wait) to wait for its value."
        )


def _derived(
    path: str, options: Mapping[str, Any], backend: str
) -> DjangoTaskFunction[Any, Any, Any]:
    """Return a task that was pickled and is no name of its module."""
    return DjangoTaskFunction(resolve(path), options, backend)
