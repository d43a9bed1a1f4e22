"""Execution: one task, from its package to its outcome, as a pipeline.

Runs in: a worker; and in the caller where ``sync`` is set. It does not touch the broker
and does not store anything.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from msgspec import UNSET

from ..envelope import Attempt, Outcome, Task, choose
from ..errors import (
    BadPackage,
    Discard,
    SerializeError,
    TaskCancelled,
    TaskError,
    TaskNotFound,
    TaskStopped,
)
from ..masking import mask_arguments
from ..plugins.provider import Provider
from ..printable import first_line, shorten
from ..reporters.base import Report
from ..running import RUNNING, has_got_further
from ..runtime import current
from ..serializers import get_serializer
from .allowed_tasks import is_allowed
from .build import Running
from .forks import end_if_forked
from .functions import resolve
from .loops import own_thread
from .moments import expired
from .retry_policy import judge
from .timeouts import out_of_time, postpone, soft_timeout
from .tracebacks import text_of
from .tracking import TrackedTask, begin, path_of_class
from .typed import plain_result, typed

logger = logging.getLogger("qcore.worker")

#: Characters of an error's text that are kept: its first and its last half, since a
#: traceback begins with the caller and ends with the culprit.
MAX_ERROR = 64 * 1024

#: Runs a task with these arguments.
Call = Callable[[Sequence[Any], Mapping[str, Any]], Any]

#: How tasks of ``django.tasks`` are called, of a higher layer than this one.
_DJANGO = Provider("django.tasks", "qcore.backend:calling")

#: Read once, for every task comes by: Python 3.11 takes 0.2 µs for a member of an enumeration.
_SUCCESS = Outcome.SUCCESS


def execute(
    task: Task, attempt: int, origin: str
) -> tuple[Attempt, BaseException | None]:
    """Run a task and say how it ended; nothing that the task does escapes.

    Args:
        task: verified, still undecoded.
        attempt: which delivery of it this is, from 1.
        origin: who runs it, as "host:pid".

    Returns:
        The attempt, and the exception that ended it if one did.
    """
    # it may have lain ahead of a worker that was busy
    if task.expires is not None and (end := expired(task)) is not None:
        return end, None
    started = time.time()
    row = begin(task, origin, started) if task.options.track is True else None
    token = RUNNING.set((task, attempt, started, current.conf))
    try:
        value = _call(task, row)
        content, encoded = _encode(value, must=task.links > 0 and task.passes_result)
    except BaseException as error:  # noqa: BLE001 - tasks may raise anything at all
        return _failed(task, attempt, origin, started, error), error
    finally:
        RUNNING.reset(token)
    return Attempt(_SUCCESS, encoded, content, started, time.time()), None


def _failed(
    task: Task, attempt: int, origin: str, started: float, error: BaseException
) -> Attempt:
    if isinstance(error, TaskStopped):
        return Attempt.failed(Outcome.STOPPED, "", started, again=error.after or None)
    text = error_text(error)
    if isinstance(error, TaskCancelled):  # as somebody wished: nothing to report
        return Attempt.failed(Outcome.CANCELLED, text, started)
    fresh = has_got_further()
    attempt = 1 if fresh else attempt
    outcome, again, how, note = judge(task, attempt, error)
    if note:
        text = f"{text}\n\n{note}"
    logger.debug("%s %s id=%s attempt=%d: %s", outcome, task.func, task.id, attempt,
                first_line(text))  # fmt: skip
    if outcome in (Outcome.FAILURE, Outcome.TIMEOUT) and not (
        how == "retry" and _has_more(task, attempt)
    ):
        report(task, attempt, outcome, text, origin, error)
    return Attempt.failed(
        outcome, text, started, error=path_of_class(error), again=again, how=how,
        fresh=fresh,
    )  # fmt: skip


def _has_more(task: Task, attempt: int) -> bool:
    """Whether a task may have another attempt after this one."""
    limit = choose(task.options.max_attempts, current.conf.max_attempts)
    return not limit or attempt < limit


# -- calling -----------------------------------------------------------------------
def _call(task: Task, row: TrackedTask | None) -> Any:
    args, kwargs = decode(task)
    conf = current.conf
    if not is_allowed(task.func, conf):
        raise TaskNotFound(
            f"{task.func!r} is not admitted by Q_CLUSTER['allowed_tasks'] of this cluster."
        )
    function = resolve(task.func)
    is_djangos = task.options.backend is not UNSET
    if is_djangos:
        function = _DJANGO.load().prepared(task, function, row)
    seconds = choose(task.options.timeout, conf.timeout)
    outer, Running.depth = Running.depth, task.depth
    try:
        if task.needs:
            value = _wrapped(task, function, seconds)(args, kwargs)
        else:
            value = _called(task, function, seconds, args, kwargs)
        return _DJANGO.load().normalised(value) if is_djangos else value
    except SystemExit as error:
        raise TaskError(f"the task called sys.exit({error.code!r})") from error
    finally:
        Running.depth = outer


def _called(
    task: Task,
    function: Callable[..., Any],
    seconds: float | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    # after plugins have changed arguments, and before they see the value
    is_typed = task.options.typed is True
    if is_typed:
        args, kwargs = typed(task.func, function).values(args, kwargs)
    value = current.registry.first(
        "qcore_run_task",
        task=task,
        call=lambda: _timed(task, function, args, kwargs, seconds),
    )
    return plain_result(value) if is_typed else value


def _wrapped(task: Task, function: Callable[..., Any], seconds: float | None) -> Call:
    """Return the call of a task with what the plugins do around it that it needs."""
    call: Call = partial(_called, task, function, seconds)
    hooks = current.registry.features.wrap_call
    for name in reversed(task.needs):
        if name in hooks:
            call = partial(_wrap, hooks[name], task, call)
    return call


def _wrap(
    hook: Callable[..., Any],
    task: Task,
    call: Call,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    return hook(task=task, args=args, kwargs=kwargs, call=call)


def decode(task: Task) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a task.

    Raises:
        BadPackage: they cannot be decoded, or not with a serializer that this
            cluster accepts.
    """
    accepted = current.conf.accept_content
    if task.content not in accepted:
        raise BadPackage(
            f"the arguments of {task.func} are {task.content!r}, this cluster accepts"
            f" {', '.join(accepted)}. See Q_CLUSTER['accept_content']."
        )
    call = get_serializer(task.content).loads(task.body)
    if not isinstance(call, list) or len(call) < 2 or not isinstance(call[1], dict):
        raise BadPackage(f"the body of {task.func} is not [args, kwargs]")
    return call[0], call[1]


def _timed(
    task: Task,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    seconds: float | None,
) -> Any:
    owner = os.getpid()
    with soft_timeout(seconds):
        try:
            value = function(*args, **kwargs)
            if inspect.iscoroutine(value):
                value = asyncio.run(_within(task, value, seconds))
        finally:
            end_if_forked(owner, task)
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise TaskError(
            f"the task returned a {type(value).__name__}, of which nothing has run yet"
            " and nothing can be stored. Return a list."
        )
    return value


async def _within(task: Task, coroutine: Any, seconds: float | None) -> Any:
    """Await a coroutine; a timeout cancels it, so that its cleanup runs."""
    # no alarm is set in another thread than the main one: there this clock is all
    left, said = postpone() or (seconds, seconds)
    owner = os.getpid()
    try:
        async with own_thread(), asyncio.timeout(left) as limit:
            return await coroutine
    except TimeoutError as error:
        if limit.expired():
            raise out_of_time(said) from error
        raise
    finally:
        end_if_forked(owner, task)  # before asyncio ends what it shares with its parent
        _name_unfinished(task)


def _name_unfinished(task: Task) -> None:
    """Say what a coroutine has started and not awaited; asyncio.run cancels it."""
    unfinished = asyncio.all_tasks() - {asyncio.current_task()}
    if unfinished:
        names = ", ".join(sorted(_name(one.get_coro()) for one in unfinished))
        logger.warning(
            "%s id=%s left tasks of asyncio unfinished; they are cancelled: %s",
            task.func, task.id, shorten(names, 500),
        )  # fmt: skip


def _name(coroutine: object) -> str:
    return getattr(coroutine, "__qualname__", type(coroutine).__name__)


# -- outcome -----------------------------------------------------------------------
_TAKEN = "the next link of the chain takes its result"


def _encode(value: Any, *, must: bool) -> tuple[str, bytes]:
    """Serialise a return value; what cannot be stored leaves a note in its place.

    The task has done its work, so running it again would be worse than a lost value.

    Args:
        value: what the task has returned.
        must: the next link of its chain takes it, and must not take a note.

    Raises:
        Discard: it must be stored, and cannot be.
    """
    conf = current.conf
    serializer = get_serializer(conf.serializer)
    try:
        encoded = serializer.dumps(value)
    except SerializeError as error:
        if must:
            raise Discard(f"{_TAKEN}, which cannot be stored: {error}") from error
        logger.warning("a result was not stored: %s", error)
        note = f"<a {type(value).__name__} that cannot be stored: {error}>"
        return conf.serializer, serializer.dumps(note)
    if len(encoded) > conf.max_result:
        if must:
            raise Discard(
                f"{_TAKEN}, which has {len(encoded):,} bytes; max_result is"
                f" {conf.max_result:,}. Store the data and return its key."
            )
        logger.warning("a result of %d bytes was not stored", len(encoded))
        note = f"<{len(encoded):,} bytes, over max_result ({conf.max_result:,})>"
        return conf.serializer, serializer.dumps(note)
    return conf.serializer, encoded


def error_text(error: BaseException) -> str:
    """Return ``Type: message``, a blank line and the traceback, at most MAX_ERROR long."""
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a __str__ that raises must not lose the failure
        message = "(its message cannot be shown)"
    try:
        trace = text_of(error, _within_task(error))
    except Exception:  # noqa: BLE001 - see above
        frames = traceback.format_tb(error.__traceback__)
        trace = "Traceback (most recent call last):\n" + "".join(frames) + kind
    return shorten(f"{kind}: {shorten(message, MAX_ERROR // 2)}\n\n{trace}", MAX_ERROR)


def _within_task(error: BaseException) -> TracebackType | None:
    """Return the part of a traceback that lies in the task; all of it if none does.

    What calls the task, plugins and event loop included, is the same for every task,
    and would be most of what a reader sees.
    """
    ours = {_timed.__code__, _within.__code__}
    inner = step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code in ours and step.tb_next is not None:
            inner = step.tb_next
        step = step.tb_next
    return inner


def report(
    task: Task,
    attempt: int,
    outcome: str,
    text: str,
    origin: str,
    error: BaseException | None,
) -> None:
    """Tell every error reporter of a failed attempt; none of them can do harm."""
    reporters = current.reporters
    if not reporters:
        return
    args = kwargs = None
    if current.conf.report_args:
        try:
            positional, given = decode(task)
            # other people than those of the project may read them there
            args, kwargs = tuple(mask_arguments(positional)), mask_arguments(given)
        except BadPackage as broken:
            logger.debug("arguments of %s are not reported: %s", task.id, broken)
    what = Report(
        task_id=task.id,
        task_name=task.name,
        func=task.func,
        queue=task.queue,
        group=task.group,
        attempt=attempt,
        outcome=outcome,
        message=first_line(text),
        worker=origin,
        exception=error,
        args=args,
        kwargs=kwargs,
    )
    for reporter in reporters:
        try:
            reporter.report(what)
        except Exception:  # a reporter must never change the outcome of a task
            logger.exception("error reporter %s failed", type(reporter).__name__)
