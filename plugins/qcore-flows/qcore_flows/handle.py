"""What batches and graphs have in common: a name, callbacks, a status, and an end by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from qcore.conf.names import shown
from qcore.envelope import new_id
from qcore.errors import CallError, EnqueueError
from qcore.running import RUNNING
from qcore.runtime import current
from qcore.signals import pre_enqueue
from qcore.tasks.build import builder_of
from qcore.tasks.calls import announce, build, build_many, split_options
from qcore.tasks.functions import target_of
from qcore.tasks.loops import in_thread
from qcore.tasks.moments import delay_of
from qcore.tasks.options import check_options

from .blocking import async_variant, blocking
from .option import HEADER, OPTION, HasId, derived_id, is_id, membership
from .steps.words import SPAWNED_BY

if TYPE_CHECKING:
    from qcore import Task

    from .models import FlowRow
    from .status import FlowStatus, MemberStatus

H = TypeVar("H", bound="Handle")

#: Options that say how one call is sent: a flow sends its tasks itself.
_OWN = {"broker", "sync", "commit"}
#: Characters of a name.
LONGEST = 255


class Handle(HasId):
    """A batch or a graph of this project.

    Args:
        name: for people, up to 255 characters.
        id: of one that exists; None makes a new one.
    """

    kind = ""

    def __init__(self, name: str = "", *, id: str | None = None) -> None:
        if not _is_name(name):
            raise CallError(
                f"the name of a {self.kind} is {shown(name)}, expected a text of up to"
                f" {LONGEST} characters."
            )
        self.name = name
        #: 32 hexadecimal digits; they are known before anything is sent.
        self.id: str = id or new_id()
        self._callbacks: dict[str, Task] = {}
        self._is_sealed = id is not None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r} id={self.id}>"

    @classmethod
    @blocking
    def get(cls, id: str) -> Self:
        """Return the batch or graph that has this id.

        Raises:
            CallError: there is none, or it was pruned.
        """
        from .status import find

        row = find(id) if is_id(id) else None
        if row is None or row.kind != cls.kind:
            raise CallError(
                f"there is no {cls.kind} with the id {shown(id)}, or it ended long ago and"
                " was pruned."
            )
        return cls(row.name, id=row.id)

    @classmethod
    async def aget(cls, id: str) -> Self:
        """Do what ``get`` does, for ``await``."""
        return await in_thread(cls.get, id)

    # -- callbacks -----------------------------------------------------------------------
    def on_success(
        self, func: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> None:
        """Send a task once all members have succeeded.

        If some fail and ``retry`` lets them succeed later, it is sent then.

        Args:
            func: a function of a module, or its dotted path.
            args: its positional arguments.
            kwargs: its keyword arguments, and options as of ``async_task``.

        Raises:
            CallError: this callback is set already, or the block is over.
            EnqueueError: the call cannot be sent.
        """
        self._call_back("on_success", func, args, kwargs)

    def on_complete(
        self, func: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> None:
        """Send a task once all members have ended, however; the rest is as ``on_success``."""
        self._call_back("on_complete", func, args, kwargs)

    def on_first_failure(
        self, func: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> None:
        """Send a task when the first member has failed for good, while others go on.

        The rest is as ``on_success``.
        """
        self._call_back("on_first_failure", func, args, kwargs)

    def _call_back(
        self,
        word: str,
        func: Callable[..., Any] | str,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        self._require_unsealed(f"{word} is set")
        if word in self._callbacks:
            raise CallError(
                f"{self!r} has an {word} already: {self._callbacks[word].func}"
            )
        task, delay = made(func, args, kwargs, derived_id(self.id, word))
        if delay:
            raise EnqueueError(
                f"{word} of {self!r} has a delay. It is sent when it is due; let it send"
                " another task."
            )
        headers = {**(task.headers or {}), HEADER: self.id}
        self._callbacks[word] = msgspec.structs.replace(task, headers=headers)

    def _require_unsealed(self, what: str) -> None:
        if self._is_sealed:
            raise CallError(f"{what} before {self!r} is sealed, which it is already.")

    def _new_row(self, now: float) -> FlowRow:
        from .models import FlowRow

        return FlowRow(
            id=self.id, kind=self.kind, name=self.name, created=now, touched=now
        )

    def _packages(self) -> dict[str, bytes]:
        return {
            word: current.signer.sign(task) for word, task in self._callbacks.items()
        }

    # -- looking ---------------------------------------------------------------------------
    @blocking
    def status(self) -> FlowStatus | None:
        """Return how many members have ended, and how; None: nothing was sent, or it was pruned."""
        from .status import find, of_row

        row = find(self.id)
        return None if row is None else of_row(row)

    astatus = async_variant(status)

    @blocking
    def members(self, *, failed: bool = False) -> Iterator[MemberStatus]:
        """Yield what has become of the members, in their order.

        Args:
            failed: only those that ended, and did not succeed.
        """
        from .status import list_members

        return list_members(self.id, failed=failed)

    async def amembers(self, *, failed: bool = False) -> list[MemberStatus]:
        """Return what ``members`` yields."""
        return await in_thread(lambda: list(self.members(failed=failed)))

    # -- by hand ------------------------------------------------------------------------
    @blocking
    def cancel(self) -> int:
        """Cancel all members that have not ended; return their number.

        Those that wait never run, and those that run get ``TaskCancelled``. When all have
        ended, ``on_complete`` is sent; ``on_success`` and ``on_first_failure`` are not.
        """
        from .repair import cancel

        return cancel(self.id)

    acancel = async_variant(cancel)

    @blocking
    def retry(self) -> int:
        """Send the failed members again, as new tasks; return their number.

        ``on_success`` is sent once all have succeeded. What was sent already is not sent
        again. A member that was lost with its queue cannot be sent again, and is left.
        """
        from .repair import retry

        return retry(self.id)

    aretry = async_variant(retry)

    # -- as a context manager ---------------------------------------------------------------
    def __enter__(self) -> Self:
        """Begin to add."""
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End to add."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Do what ``with`` does, for ``async with``."""
        return await in_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do what the end of the block does."""
        await in_thread(self.__exit__, kind, error, trace)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST and "\0" not in name


def made(
    func: Callable[..., Any] | str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    task_id: str | None = None,
    member: dict[str, Any] | None = None,
    *,
    takes: bool = False,
    spawned_by: str | None = None,
) -> tuple[Task, float]:
    """Return the task of a call, and the seconds before it may run.

    Args:
        func: a function of a module, or its dotted path.
        args: its positional arguments.
        kwargs: its keyword arguments, and options as of ``async_task``.
        task_id: its id; None: that of the options, or a new one.
        member: the option ``flow``.
        takes: whether some of the arguments come later. Those of a typed task are checked
            where it runs, then.
        spawned_by: the id of the run that sends it.

    Raises:
        EnqueueError: it cannot be sent, or has an option that a flow cannot keep.
    """
    kwargs, options = split_options(kwargs, func, with_id=task_id is None)
    chosen = options.pop("task_id", None)
    func, args, kwargs, options = announce(func, args, kwargs, options)
    options = _kept(func, options)
    if member is not None:
        options[OPTION] = member
    if spawned_by is not None:
        options[SPAWNED_BY] = spawned_by
    declared = target_of(func)[2] if takes else {}
    is_typed = takes and {**declared, **options}.get("typed") is True
    if is_typed:
        options["typed"] = False
    task = build(
        func, args, kwargs, task_id=task_id or chosen, announced=True, **options
    )
    if is_typed:
        checked = msgspec.structs.replace(task.options, typed=True)
        task = msgspec.structs.replace(task, options=checked)
    return task, delay_of(options)


def made_many(
    func: Callable[..., Any] | str,
    calls: Sequence[Sequence[Any]],
    kwargs: dict[str, Any],
    member: dict[str, Any],
) -> list[tuple[Task, float]]:
    """Return the tasks of many calls of one function, each as ``made`` does.

    Raises:
        EnqueueError: one cannot be sent, or has an option that a flow cannot keep.
    """
    rest, options = split_options(kwargs, func, with_id=True)
    if pre_enqueue.receivers or "task_id" in options:
        # each may become a call of another function
        return [made(func, args, dict(kwargs), member=member) for args in calls]
    builder = builder_of(func, {**_kept(func, options), OPTION: member})
    delay = delay_of(options)
    return [(task, delay) for task in build_many(builder, func, calls, rest)]


def _kept(func: object, options: dict[str, Any]) -> dict[str, Any]:
    """Return the checked options of a call.

    Raises:
        EnqueueError: a flow cannot keep one of them.
    """
    options = check_options(options) if options else {}
    if wrong := options.keys() & (_OWN | {OPTION, SPAWNED_BY}):
        raise EnqueueError(
            f"cannot send {shown(func)} with the option {min(wrong)!r} in a batch, flow or"
            " durable task, which sends its tasks itself, with the commit of its own rows."
        )
    require_queue(shown(func))
    return options


def require_queue(what: str) -> None:
    """Refuse what ``sync`` would run here and now.

    Raises:
        EnqueueError: the setting ``sync`` is on.
    """
    if current.conf.sync:
        raise EnqueueError(
            f"cannot send {what} in a batch, flow or durable task while Q_CLUSTER['sync']"
            " is on: they are tasks of a queue. In tests, use a queue in memory and"
            " qcore.testing.drain()."
        )


def current_flow_id() -> str | None:
    """Return the id of the flow that the running task is a member or a callback of."""
    running = RUNNING.get()
    if running is None:
        return None
    task = running[0]
    own = membership(task)
    if own is not None:
        return own.flow_id
    return (task.headers or {}).get(HEADER)


def running(kind: type[H]) -> H | None:
    """Return the batch, or the graph, that the running task belongs to; None: to none.

    Args:
        kind: ``Batch`` or ``Flow``.
    """
    from .status import find

    id = current_flow_id()
    row = None if id is None else find(id)
    if row is None or row.kind != kind.kind:
        return None
    return kind(row.name, id=row.id)
