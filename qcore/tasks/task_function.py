"""A task function: what ``qcore.task`` makes of a function, to be called or sent."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast

from ..conf.names import shown
from ..errors import EnqueueError, TaskError, did_you_mean, sentence
from ..runtime import current
from . import alookup, lookup
from .enqueueing import async_task_many, enqueue_call
from .functions import resolve
from .loops import in_thread, refuse_in_loop
from .options import (
    AT_CALL_ONLY,
    OPTIONS,
    TaskOptions,
    check_id,
    check_options,
    over,
    own_name,
)
from .unwrap import Wrapper

if TYPE_CHECKING:
    from ..models import Schedule
    from ..results.base import Record
    from .waiting import Wait

#: A call of ``TaskFunction.schedule``, for messages.
_SCHEDULED = "schedule((1,), {'x': 2}, minutes=5)"

P = ParamSpec("P")
#: What a call returns: the result, or of an ``async def`` a coroutine of it.
C = TypeVar("C")
#: The result.
R = TypeVar("R")


#: Words of other queues -> what does it here.
_ELSEWHERE = {
    **dict.fromkeys(("delay", "send", "enqueue_call", "defer", "kiq"), "enqueue(...)"),
    **dict.fromkeys(
        ("apply_async", "send_with_options", "with_options", "configure", "s"),
        "using(...).enqueue(...)",
    ),
    "call_local": "call(...)",
}


class TaskId(str, Generic[R]):
    """The id of a task that was sent: a text, which knows the type of the result.

    It is the same 32 hexadecimal digits that ``async_task`` returns, and can stand wherever
    an id is expected.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """The id as a plain text."""
        return str(self)

    def __str__(self) -> str:
        return str.__str__(self)

    def result(self, wait: Wait = 0) -> R | None:
        """Return the result, or None while there is none.

        An attempt that failed is no result while the task is to be tried again; ``fetch``
        returns it.

        Args:
            wait: milliseconds to wait for it; -1 waits for ever.

        Raises:
            TaskError: the task failed for good; with the text of its error.
        """
        return cast("R | None", _value_of(lookup.fetch_end(self.id, wait)))

    def fetch(self, wait: Wait = 0) -> Record | None:
        """Return the task as its last attempt has ended, or None; see ``tasks.fetch``."""
        return lookup.fetch(self.id, wait)

    async def aresult(self, wait: Wait = 0) -> R | None:
        """Do what ``result`` does, for ``await``."""
        return cast("R | None", _value_of(await alookup.afetch_end(self.id, wait)))

    async def afetch(self, wait: Wait = 0) -> Record | None:
        """Do what ``fetch`` does, for ``await``."""
        return await alookup.afetch(self.id, wait)


class TaskFunction(Wrapper, Generic[P, C, R]):
    """A function of a module that can be called, and sent to a cluster.

    Made by ``qcore.task``. Calling it calls the function, here and now. It can be imported,
    pickled and patched under the name of the function.

    Args:
        func: a function at the top of a module.
        options: of its tasks, checked.
        task_id: the id of the one task that it sends, or None.
    """

    func: Callable[P, C]
    options: Mapping[str, Any]

    def __init__(
        self,
        func: Callable[P, C],
        options: Mapping[str, Any],
        task_id: str | None = None,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self.options = dict(options)
        self._task_id = task_id

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function, here and now."""
        return self.func(*args, **kwargs)

    def __repr__(self) -> str:
        said = "".join(f" {name}={value!r}" for name, value in self.options.items())
        return f"<task {self.path}{said}>"

    if not TYPE_CHECKING:  # a type checker shall go on telling what is not there

        def __getattr__(self, name: str) -> Any:
            """Say what a word of another queue is called here.

            Raises:
                AttributeError: always, for what is there is not looked for here.
            """
            told = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in _ELSEWHERE:
                told += f" - did you mean {_ELSEWHERE[name]}?"
            raise AttributeError(told, name=name, obj=self)

    # -- copying and pickling ------------------------------------------------------
    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle it by its path, as functions are."""
        if self._is_declared():
            return self.func.__qualname__
        return _derived, (self.path, self.options, self._task_id)

    def _is_declared(self) -> bool:
        module = sys.modules.get(self.func.__module__)
        return getattr(module, self.func.__qualname__, None) is self

    # -- what it is ------------------------------------------------------------------
    @property
    def path(self) -> str:
        """The dotted path under which a worker finds the function."""
        return f"{self.func.__module__}.{self.func.__qualname__}"

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.func.__name__

    def using(
        self, *, task_id: str | None = None, **options: Unpack[TaskOptions]
    ) -> TaskFunction[P, C, R]:
        """Return a task function of the same function with other options over its own.

        Args:
            task_id: an id of your own choice (32 hexadecimal digits,
                ``uuid.uuid4().hex``): a task that is sent twice with the same id runs once,
                as long as its result is kept.
            options: of ``async_task``. None means what the settings say, and of
                ``timeout``: no limit.

        Raises:
            EnqueueError: an option is unknown, or has a wrong type or range.
        """
        if task_id is not None:
            check_id(task_id)
        said = check_options(cast("Mapping[str, Any]", options))
        named = {own_name(name) for name in options}
        kept = {key: self.options[key] for key in self.options.keys() - named}
        return TaskFunction(self.func, over(kept, said), task_id)

    # -- sending -----------------------------------------------------------------------
    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskId[R]:
        """Send a call to the cluster; all arguments are the function's.

        Returns:
            The id of the task.

        Raises:
            EnqueueError: the function does not take the arguments, or they cannot be sent.
            NoReply: the task may be stored or not; ``error.task_ids`` has its id.
            BrokerUnavailable: the queue cannot be reached; nothing was sent.
        """
        return TaskId(enqueue_call(self, args, kwargs, {}, self._task_id))

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskId[R]:
        """Do what ``enqueue`` does, for ``await``."""
        # a partial: its keywords may be called like those of whoever passes them on
        return await in_thread(functools.partial(self.enqueue, *args, **kwargs))

    def map(self, args_list: Iterable[Any]) -> list[TaskId[R]]:
        """Send one call for each element, in one round trip for each batch.

        Args:
            args_list: for each call a list or tuple of its positional arguments, or its only
                argument.

        Returns:
            The ids, in the order of ``args_list``.

        Raises:
            EnqueueError: a call cannot be sent; nothing was.
            BrokerError: the queue failed; see ``async_task_many``.
        """
        if self._task_id is not None:
            raise EnqueueError(
                f"{self.path}.using(task_id=...) sends one task, so it has no map():"
                " call enqueue()."
            )
        return [TaskId(one) for one in async_task_many(self, args_list)]

    async def amap(self, args_list: Iterable[Any]) -> list[TaskId[R]]:
        """Do what ``map`` does, for ``await``."""
        return await in_thread(self.map, args_list)

    # -- running here ------------------------------------------------------------------
    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, to its end, and return the result.

        An ``async def`` runs in an event loop of its own.

        Raises:
            CallError: it is an ``async def``, and an event loop runs in this thread.
            Exception: what the function raises.
        """
        value: Any = self.func(*args, **kwargs)
        if inspect.iscoroutine(value):
            try:
                refuse_in_loop(f"{self.path}.call", f"{self.name}.acall")
            except BaseException:
                value.close()
                raise
            from asgiref.sync import async_to_sync

            return cast("R", async_to_sync(_awaited)(value))
        return cast("R", value)

    async def acall(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here to its end, and return the result, for ``await``.

        A plain function runs in the thread that Django keeps for synchronous code.
        """
        if inspect.iscoroutinefunction(self.func):
            return cast("R", await self.func(*args, **kwargs))
        value: Any = await in_thread(functools.partial(self.func, *args, **kwargs))
        return cast("R", await value if inspect.iscoroutine(value) else value)

    # -- at set times --------------------------------------------------------------------
    def schedule(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        /,
        **columns: Any,
    ) -> Schedule:
        """Store a schedule of the function and return it.

        Args:
            args: positional arguments of the function.
            kwargs: keyword arguments of the function.
            columns: of the schedule, as for ``qcore.tasks.schedule``: ``name``, ``cron``,
                ``minutes``, ``schedule_type``, ``next_run``, ``repeats`` and so on.

        Raises:
            EnqueueError, ConfigError: a part of it is wrong; nothing was stored.
        """
        from ..schedules.columns import CHECKS

        refuse_in_loop(f"{self.name}.schedule", f"{self.name}.aschedule")
        if unknown := columns.keys() - CHECKS.keys():
            word = min(unknown)
            raise EnqueueError(
                f"{sentence(f'a schedule has no {word!r}{did_you_mean(word, CHECKS)}')}"
                " Arguments of the function go into args and kwargs:"
                f" {_SCHEDULED}."
            )
        if not isinstance(args, (list, tuple)):
            raise EnqueueError(
                f"args is {shown(args)}, expected a list or tuple of the arguments of the"
                f" function: {_SCHEDULED}."
            )
        own = dict(kwargs or {})
        if taken := own.keys() & {*CHECKS, *OPTIONS, "q_options"}:
            raise EnqueueError(
                f"cannot schedule {self.path} with the keyword {min(taken)!r}, which the"
                " table has for the schedule itself. Pass its value in args."
            )
        if not self._is_declared():  # what is declared is looked up when it is sent
            own["q_options"] = {
                key: value
                for key, value in self.options.items()
                if key not in AT_CALL_ONLY
            }
        scheduled: Schedule = current.scheduler.schedule(
            self.func, tuple(args), **own, **columns
        )
        return scheduled

    async def aschedule(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        /,
        **columns: Any,
    ) -> Schedule:
        """Do what ``schedule`` does, for ``await``."""
        return await in_thread(
            functools.partial(self.schedule, args, kwargs, **columns)
        )

    # -- afterwards ----------------------------------------------------------------------
    def get_result(self, task_id: str, wait: Wait = 0) -> R | None:
        """Return the result of a task of this function; see ``TaskId.result``."""
        return TaskId[R](task_id).result(wait)

    async def aget_result(self, task_id: str, wait: Wait = 0) -> R | None:
        """Do what ``get_result`` does, for ``await``."""
        return await TaskId[R](task_id).aresult(wait)

    # -- for Django's API of tasks ---------------------------------------------------------
    module_path = path
    #: Of Django's tasks: the key in ``TASKS``.
    backend = "default"
    takes_context = False

    @property
    def queue_name(self) -> str:
        """Of Django's tasks: the queue."""
        return str(self.options.get("cluster") or "default")

    @property
    def priority(self) -> int:
        """Of Django's tasks: -100 to 100."""
        return int(self.options.get("priority") or 0)

    @property
    def run_after(self) -> Any:
        """Of Django's tasks: when it may start, as a moment or a timedelta; or None."""
        if delay := self.options.get("delay"):
            return dt.timedelta(seconds=delay)
        return self.options.get("run_after")

    def get_backend(self) -> Any:
        """Return the backend that ``TASKS`` of Django's settings has for it.

        Raises:
            ImportError: there are no tasks in this version of Django, nor the backport.
        """
        try:
            tasks: Any = import_module("django.tasks")
        except ImportError:
            tasks = import_module("django_tasks")
        return tasks.task_backends[self.backend]


def _value_of(record: Record | None) -> Any:
    if record is None:
        return None
    if not record.success:
        raise TaskError(f"the task {record.id} failed: {record.result}")
    return record.result


async def _awaited(coroutine: Coroutine[Any, Any, R]) -> R:
    return await coroutine


def _derived(
    path: str, options: Mapping[str, Any], task_id: str | None
) -> TaskFunction[Any, Any, Any]:
    """Return a task function that was pickled and is no name of its module."""
    return TaskFunction(resolve(path), options, task_id)
