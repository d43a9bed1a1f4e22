"""New tasks: what plugins say of a task before it is sent (``qcore_before_send``)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ..envelope import Task
from ..errors import (
    INTERRUPTS,
    BrokerUnavailable,
    EnqueueError,
    did_you_mean,
    sentence,
)
from ..masking import mask_url
from ..runtime import current
from ..serializers import get_serializer
from .functions import resolve
from .signatures import signature_of

logger = logging.getLogger("qcore.sending")

#: What a plugin may change of a task; the rest says what the task is.
_CHANGEABLE = ("name", "group", "priority", "expires", "headers")

T = TypeVar("T")

_NOTHING: Mapping[str, Any] = {}


class NewTask:
    """A new task before it is sent, for the hook ``qcore_before_send``.

    Args:
        task: as its sender made it.
        delay: seconds before it may run.
        follows: the id of the task after whose success it is sent.
    """

    __slots__ = ("_skipped_for", "delay", "follows", "task")

    def __init__(
        self, task: Task, delay: float = 0, follows: str | None = None
    ) -> None:
        #: The task as it will be sent.
        self.task = task
        #: Seconds before the task may run.
        self.delay = delay
        #: The id of the task after whose success it is sent, as the next link of a chain is;
        #: None: nothing has to happen first. If that task fails, this one is never sent.
        self.follows = follows
        self._skipped_for: str | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of plugins that the caller has given, by their names, as read."""
        found = self.task.options.plugins
        return _NOTHING if isinstance(found, msgspec.UnsetType) else found

    @property
    def skipped_for(self) -> str | None:
        """The id of the task that takes the place of this one; None: this one is sent."""
        return self._skipped_for

    # -- what the task is called with ----------------------------------------------
    def call(self) -> tuple[list[Any], dict[str, Any]]:
        """Return positional and keyword arguments; they are decoded for it.

        Raises:
            SerializeError: the arguments cannot be decoded in this process.
        """
        body: Any = get_serializer(self.task.content).loads(self.task.body)
        args, kwargs, *_ = body
        return list(args), dict(kwargs)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments by the names of the function's parameters, with defaults.

        Raises:
            EnqueueError: the function is not in this process, has no signature that Python
                can tell, or does not take these arguments.
        """
        path = self.task.func
        args, kwargs = self.call()
        try:
            signature = signature_of(resolve(path))
            if signature is None:
                raise TypeError("Python does not know its signature")
            bound = signature.bind(*args, **kwargs)
        except Exception as error:
            raise EnqueueError(
                f"the arguments of {path} have no names here: {type(error).__name__}:"
                f" {error}"
            ) from error
        bound.apply_defaults()
        return dict(bound.arguments)

    # -- what is to become of it -----------------------------------------------------
    def need(self, plugin: str) -> None:
        """Have a plugin asked before the task runs (``qcore_admit``), after those so far.

        Args:
            plugin: the name of its entry point.
        """
        if plugin not in self.task.needs:
            self._replace(needs=(*self.task.needs, plugin))

    def change(self, **fields: Any) -> None:
        """Change ``name``, ``group``, ``priority``, ``expires`` or ``headers`` of the task.

        Raises:
            TypeError: another field is named.
        """
        for field in fields:
            if field not in _CHANGEABLE:
                near = did_you_mean(field, _CHANGEABLE)
                raise TypeError(
                    f"{sentence(f'a new task cannot change its {field!r}{near}')} These can"
                    f" be changed: {', '.join(_CHANGEABLE)}"
                )
        self._replace(**fields)

    def set_header(self, name: str, value: str) -> None:
        """Give the task a header: a text that travels with it."""
        self._replace(headers={**(self.task.headers or {}), name: value})

    def skip(self, task_id: str) -> None:
        """Do not send the task; its caller gets the id of another one in its place.

        Raises:
            EnqueueError: the task is a call of an ``async_iter``, which waits for each.
        """
        if self.task.iter_count is not None:
            raise EnqueueError(
                f"cannot skip a call of {self.task.func} for the task {task_id}: it is one"
                " of an async_iter, whose list would never be complete."
            )
        self._skipped_for = task_id

    def restore(self, task: Task) -> None:
        """Give the task back the state that it had before a plugin changed it."""
        self.task, self._skipped_for = task, None

    def _replace(self, **fields: Any) -> None:
        self.task = msgspec.structs.replace(self.task, **fields)


def uses_features(tasks: Sequence[Task]) -> bool:
    """Whether one of the tasks has an option of a plugin."""
    return any(map(_uses, tasks))


def _uses(task: Task) -> bool:
    return bool(task.options.plugins)


def together(tasks: Sequence[Task], work: Callable[[], T]) -> T:
    """Run a function that asks plugins and sends, in a transaction if a plugin needs one.

    Where another transaction goes first, and the caller has none that would be lost, the
    work is done again.

    Raises:
        EnqueueError: a task uses a plugin, and the ledger has no tables to do so.
        BrokerUnavailable: the database of the ledger does not answer, or lacks the tables of
            a plugin until somebody runs ``migrate``.
    """
    if not uses_features(tasks):
        return work()
    option = next(iter(NewTask(next(filter(_uses, tasks))).options))
    return in_ledger(work, tasks[0].func, f"the option {option!r}", _owners(tasks))


def in_ledger(
    work: Callable[[], T], func: str, what: str, plugins: Sequence[str] = ()
) -> T:
    """Run a function that sends, in a transaction of the ledger.

    Where another transaction goes first, and the caller has none that would be lost, the
    work is done again.

    Args:
        work: the function.
        func: the path of what is sent, for the errors.
        what: needs the ledger, for the errors.
        plugins: the names of those whose tables it needs.

    Raises:
        EnqueueError: the ledger has no tables.
        BrokerUnavailable: the database of the ledger does not answer, or lacks the tables of
            a plugin until somebody runs ``migrate``.
    """
    ledger = current.ledger
    try:
        if ledger is not None and ledger.is_ready:
            if told := ledger.lacking(plugins):
                raise BrokerUnavailable(f"cannot send {func}: {told}")
            return ledger.run(work)
    except Exception as error:
        if ledger is None or not is_passing(error):
            raise
        _let_go(ledger.database)
        raise BrokerUnavailable(
            f"cannot send {func}: the ledger in database {ledger.database!r} does"
            f" not answer: {type(error).__name__}: {mask_url(str(error))}"
        ) from error
    where = "no database has" if ledger is None else f"{ledger.database!r} lacks"
    raise EnqueueError(
        f"cannot send {func} with {what}: {where} the tables of the ledger. Add 'qcore'"
        " to INSTALLED_APPS and run: python manage.py migrate"
    )


def _owners(tasks: Sequence[Task]) -> list[str]:
    """Return the names of the plugins whose options these tasks have."""
    owners = current.registry.features.owners
    names = {name for task in tasks if _uses(task) for name in NewTask(task).options}
    return sorted({owners[name] for name in names if name in owners})


def _let_go(database: str) -> None:
    """Let a broken connection go, unless a transaction of somebody else is open."""
    from django.db import connections

    connections[database].close_if_unusable_or_obsolete()


def ask(
    tasks: Sequence[Task], delay: float = 0, follows: str | None = None
) -> list[NewTask]:
    """Ask each plugin about new tasks of one queue.

    Args:
        tasks: the tasks.
        delay: seconds before they may run.
        follows: the id of the task after whose success they are sent.

    Raises:
        EnqueueError: a plugin refuses them, or has failed on its own option.
    """
    new = [NewTask(task, delay, follows) for task in tasks]
    for plugin, hook in current.registry.features.before_send.items():
        _ask_one(plugin, hook, new)
    return new


def _ask_one(plugin: str, hook: Callable[..., Any], new: Sequence[NewTask]) -> None:
    own = current.registry.features.options_of(plugin)
    asked = [
        one
        for one in new
        if one.skipped_for is None
        and (not own or any(name in one.options for name in own))
    ]
    if not asked:
        return
    before = [one.task for one in asked]
    try:
        hook(tasks=asked)
    except (EnqueueError, BrokerUnavailable, *INTERRUPTS):
        raise
    except BaseException as error:
        if own or _spoils(error):
            # what passes is worth another try; of the rest, somebody has to be told
            kind = BrokerUnavailable if is_passing(error) else EnqueueError
            raise kind(
                f"cannot send {asked[0].task.func}: the plugin {plugin!r} failed in"
                f" qcore_before_send: {type(error).__name__}: {mask_url(str(error))}"
            ) from error
        # a plugin that these tasks do not use must not keep them from being sent
        logger.exception("plugin %s failed in qcore_before_send", plugin)
        for one, task in zip(asked, before, strict=True):
            one.restore(task)


def _spoils(error: BaseException) -> bool:
    """Whether an error is of a database, so that no transaction of it could go on."""
    from django.db import Error

    return isinstance(error, Error)


def is_passing(error: BaseException) -> bool:
    """Whether an error of a database is one that passes."""
    from django.db import InterfaceError, OperationalError

    return isinstance(error, (OperationalError, InterfaceError))


def prepare(task: Task, follows: str | None = None) -> Task | None:
    """Return a new task as plugins have changed it; only the plugins write anything.

    For a task whose package its maker sends later: the next link of a chain, a slot of a
    schedule. Its id is derived, so that it is the same when it is made again.

    Args:
        task: the new task.
        follows: the id of the task after whose success it is sent.

    Returns:
        None where a plugin skips the task.

    Raises:
        EnqueueError: as ``ask``.
    """
    if not current.registry.features.before_send:
        return task
    (new,) = together([task], lambda: ask([task], 0, follows))
    if new.skipped_for is None:
        return new.task
    logger.info("not sent: %s id=%s, for %s is there already",
                task.func, task.id, new.skipped_for)  # fmt: skip
    return None
