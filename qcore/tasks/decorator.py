"""The decorator ``qcore.task``: it makes a task function, with options, of a function.

What is wrong is told when the module is imported, at the line where it is written.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Any,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    overload,
)

from ..conf.names import quoted
from ..errors import EnqueueError
from .naming import describe
from .options import TaskOptions, check_options
from .task_function import TaskFunction
from .unwrap import unwrap

if TYPE_CHECKING:
    from ..backend.function import DjangoTaskFunction

P = ParamSpec("P")
R = TypeVar("R")

#: Of a higher layer than this one, and of a Django that has tasks.
_OF_DJANGO = "qcore.backend.function"


class Decorator(Protocol):
    """What ``task(...)`` returns: makes a task function of a function."""

    @overload
    def __call__(
        self, func: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> TaskFunction[P, R, R]: ...


class DjangoDecorator(Protocol):
    """What ``task(backend=...)`` returns: makes a task of Django of a function."""

    @overload
    def __call__(
        self, func: Callable[P, Coroutine[Any, Any, R]], /
    ) -> DjangoTaskFunction[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> DjangoTaskFunction[P, R, R]: ...


@overload
def task(
    func: Callable[P, Coroutine[Any, Any, R]], /
) -> TaskFunction[P, Coroutine[Any, Any, R], R]: ...
@overload
def task(func: Callable[P, R], /) -> TaskFunction[P, R, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Decorator: ...
@overload
def task(
    *, backend: str, queue_name: str = ..., **options: Unpack[TaskOptions]
) -> DjangoDecorator: ...
def task(func: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a task function, which can be sent to a cluster, of a function of a module.

    ::

        from qcore import task

        @task(queue="mail", max_attempts=5, timeout=30)
        def send_receipt(order_id: int) -> str: ...

        send_receipt.enqueue(17)  # to the cluster
        send_receipt(17)  # here and now

    Args:
        func: the function, where the decorator is written without brackets.
        options: of ``async_task``, for all tasks of the function. Whoever sends one may say
            something else: ``send_receipt.using(timeout=60).enqueue(17)``.
            With ``backend``, an alias in ``TASKS`` of Django's settings, the task function
            is a ``django.tasks.Task``, too: its tasks go through that backend, and
            ``enqueue`` returns a ``TaskResult``. Then the queue may be called ``queue_name``.

    Returns:
        A task function, which can be called as the function can.

    Raises:
        EnqueueError: the function could not be found by a worker, or an option is wrong.
        ImportError: with ``backend``, and Django has no tasks.
        InvalidTask, InvalidTaskBackend: of Django, with ``backend``: it refuses the task.
    """
    if func is None and "backend" in options:
        return _of_django(options)
    if func is None:
        checked = check_options(options)
        return lambda func: _made(func, checked)
    if options:
        raise EnqueueError(
            "task() takes the function alone, or options alone: @task(timeout=30) stands"
            " above the function."
        )
    return _made(func, {})


def _made(func: Any, options: dict[str, Any]) -> TaskFunction[Any, Any, Any]:
    refuse("@task", func)
    return TaskFunction(func, options)


def _of_django(options: dict[str, Any]) -> Callable[[Any], Any]:
    backend = options.pop("backend")
    module = import_module(_OF_DJANGO)
    checked = check_options(module.with_own_words(options))

    def decorate(func: Any) -> Any:
        refuse("@task", func)
        return module.made(func, checked, backend)

    return decorate


def refuse(word: str, func: Any) -> None:
    """Refuse a function that no worker could find or run.

    Args:
        word: the decorator: ``"@task"``.
        func: what it was put on.

    Raises:
        EnqueueError: with the reason, what to do, and the place.
    """
    told = _fault(func)
    if told:
        place = place_of(func)
        raise EnqueueError(f"{word} {told}{f' ({place})' if place else ''}")


def _fault(func: Any) -> str:
    """Return why no worker could find or run a function, and what to do; or nothing."""
    if isinstance(func, str):
        return (
            f"stands above a function, and was given {quoted(func)}. For a function by its"
            " path, write async_task(path, ...)."
        )
    if isinstance(func, (functools.partial, functools.partialmethod)):
        return (
            "cannot be put on a partial: a worker finds a function by its name, and a"
            " partial has none. Define a function that makes the call."
        )
    if unwrap(func) is not func:
        return "stands twice above one function, or above a task of Django. Remove one."
    if not callable(func) or isinstance(func, (staticmethod, classmethod)):
        kind = type(func).__name__
        return (
            f"{_NO_METHOD}, and not on a {kind}."
            if kind.endswith("method")
            else (f"stands above a function, and was given {quoted(func)}.")
        )
    if isinstance(func, type):
        return (
            f"cannot be put on a class ({func.__name__}). Define a function that uses the"
            " class."
        )
    return _fault_of_name(func) or _fault_of_kind(func)


def _fault_of_name(func: Any) -> str:
    name = getattr(func, "__qualname__", "")
    if "<lambda>" in name:
        return (
            "cannot be put on a lambda: a worker finds a function by its name, and a lambda"
            " has none. Write it with def, at the top of a module."
        )
    if "<locals>" in name:
        return (
            f"cannot be put on {name}, a function inside a function: a worker could not"
            " import it. Move it to the top of the module, and pass what it uses as"
            " arguments."
        )
    if "." in name or inspect.ismethod(func):
        return f"{_NO_METHOD}: {name}."
    if getattr(func, "__module__", None) != "__main__":  # that is told when it is sent
        describe(func)
    return ""


def _fault_of_kind(func: Any) -> str:
    name = getattr(func, "__qualname__", "")
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        return f"cannot be put on {name}, a generator: nothing of it would run. Return a list."
    return ""


_NO_METHOD = (
    "cannot be put on a method: a worker has no object to call it on. Move it to the top of"
    " the module, as a function that gets the key of the object"
)


def place_of(func: Any) -> str:
    """Return where a function is written: ``shop/tasks.py, line 12``; or nothing."""
    inner = getattr(func, "__func__", getattr(func, "func", func))
    code = getattr(inner, "__code__", None)
    return f"{code.co_filename}, line {code.co_firstlineno}" if code else ""
