"""Schedules in code: ``@every`` and ``@cron`` beside a function.

A declaration is noted when its module is imported. ``migrate`` and the start of a cluster
write what is noted to the table (``schedules.sync``). What is wrong is told at the line
where it is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from ..conf.names import label_fault, queue_fault, quoted
from ..errors import ConfigError, EnqueueError
from ..tasks.arguments import check_arguments
from ..tasks.calls import split_options
from ..tasks.decorator import place_of, refuse
from ..tasks.unwrap import unwrap
from . import rules
from .columns import MOST
from .datetimes import named_zone
from .entry import encode_call
from .registry import DECLARED

F = TypeVar("F", bound=Callable[..., Any])
Missed = Literal["one", "all", "skip"]
Overlap = Literal["allow", "skip", "queue"]

_MISSED = ("one", "all", "skip")
_OVERLAP = ("allow", "skip", "queue")


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule that the code declares."""

    name: str
    func: str
    args: str
    kwargs: str
    type: str
    seconds: int | None
    cron: str | None
    tz: str | None
    start: dt.datetime | None
    end: dt.datetime | None
    missed: str | None
    jitter: int
    overlap: str | None
    cluster: str | None
    function: Callable[..., Any]
    place: str  # of the function: "shop/tasks.py, line 12"


def cron(
    expression: str,
    *,
    tz: str | None = None,
    name: str | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    start: dt.datetime | None = None,
    end: dt.datetime | None = None,
    missed: Missed | None = None,
    jitter: float | dt.timedelta = 0,
    overlap: Overlap | None = None,
    cluster: str | None = None,
) -> Callable[[F], F]:
    """Declare that a function runs at set times.

    ::

        from qcore.schedules import cron

        @cron("0 3 * * *", tz="Europe/Paris")
        def clean_up(): ...

    Args:
        expression: five fields: minute hour day-of-month month day-of-week; or an alias
            such as ``"@daily"``.
        tz: the zone that the expression is read in, such as ``"Europe/Paris"``; None means
            the project's.
        name: of the schedule; None means the dotted path of the function. A function with
            two schedules needs two names.
        args: positional arguments of each run.
        kwargs: keyword arguments of each run.
        start: no run before it; a naive one is a time on the wall of the zone.
        end: no run after it.
        missed: what is done for runs that were due while no cluster ran: ``"one"`` run for
            all of them, ``"all"`` of them, or ``"skip"``: none that is over a minute late.
            None means what the setting ``catch_up`` says.
        jitter: seconds (or a timedelta) by which each run is put off at random, at most.
        overlap: what is done for a run that is due while the run before has not ended, its
            retries included: ``"allow"`` both run, ``"skip"`` the new one is left out, or
            ``"queue"`` it is sent when the one before has ended. None is ``"allow"``. With
            the others, the tasks are tracked, as with ``track=True``.
        cluster: the cluster that sends it; None means the project's own.

    Raises:
        ConfigError: the expression or the zone is wrong, or the name is taken.
        EnqueueError: a worker could not find the function, or it does not take the arguments.
    """
    rules.validate_cron(expression)
    return _declaring(
        "@cron", rules.CRON, None, expression, name=name, args=args, kwargs=kwargs, tz=tz,
        start=start, end=end, missed=missed, jitter=jitter, overlap=overlap,
        cluster=cluster,
    )  # fmt: skip


def every(
    *,
    weeks: float = 0,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    name: str | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    start: dt.datetime | None = None,
    end: dt.datetime | None = None,
    missed: Missed | None = None,
    jitter: float | dt.timedelta = 0,
    overlap: Overlap | None = None,
    cluster: str | None = None,
) -> Callable[[F], F]:
    """Declare that a function runs again and again, after an equal time.

    ::

        from qcore.schedules import every

        @every(minutes=5)
        def look_for_mail(): ...

    The time between two runs is the sum of weeks to seconds, in whole seconds of real time.
    The runs are counted from ``start``, or from the beginning of 1970 in UTC: so runs every
    five minutes are at 12:00, 12:05 and so on, whenever a cluster was started. For a
    time on the wall, such as three o'clock at night, use ``cron``.

    Args:
        weeks, days, hours, minutes, seconds: the time between two runs.
        name, args, kwargs, start, end, missed, jitter, overlap, cluster: as for ``cron``.

    Raises:
        ConfigError: the time is not a whole number of seconds, 1 or more; or as ``cron``.
        EnqueueError: as ``cron``.
    """
    try:
        interval = dt.timedelta(
            weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
        ).total_seconds()
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"@every: {error}; expected numbers: minutes=5") from None
    if not 1 <= interval <= MOST or interval != int(interval):
        raise ConfigError(
            f"@every: the time between two runs is {interval:g} s, expected whole seconds,"
            f" 1 to {MOST:,}: @every(minutes=5)"
        )
    return _declaring(
        "@every", rules.SECONDS, int(interval), None, name=name, args=args, kwargs=kwargs,
        tz=None, start=start, end=end, missed=missed, jitter=jitter, overlap=overlap,
        cluster=cluster,
    )  # fmt: skip


def _declaring(
    word: str, kind: str, seconds: int | None, expression: str | None, **said: Any
) -> Callable[[F], F]:
    _check(word, said)
    jitter = said["jitter"]
    if isinstance(jitter, dt.timedelta):
        jitter = jitter.total_seconds()

    def declare(func: F) -> F:
        function = unwrap(func)
        refuse(word, function)
        path = f"{function.__module__}.{function.__qualname__}"
        args, kwargs = tuple(said["args"]), dict(said["kwargs"] or {})
        check_arguments(path, function, args, kwargs)
        if split_options(kwargs, function)[1]:
            raise EnqueueError(
                f"{word}: of the keywords {', '.join(sorted(kwargs))} one is an option of"
                " tasks. Pass its value in args, or declare options with @task(...)."
            )
        positional, keywords = encode_call(args, kwargs)
        _note(
            word,
            Declared(
                name=said["name"] or path,
                func=path,
                args=positional,
                kwargs=keywords,
                type=kind,
                seconds=seconds,
                cron=expression,
                tz=said["tz"],
                start=said["start"],
                end=said["end"],
                missed=said["missed"],
                jitter=int(jitter),
                overlap=said["overlap"],
                cluster=said["cluster"] or None,
                function=function,
                place=place_of(function),
            ),
        )
        return func

    return declare


def _note(word: str, new: Declared) -> None:
    """Keep a declaration; a module that is loaded again declares the same ones again.

    Raises:
        ConfigError: another schedule has that name.
    """
    if fault := label_fault(new.name):
        raise ConfigError(f"{word}: the name {fault}")
    old = DECLARED.get(new.name)
    is_other = old is not None and (
        old.func != new.func or old.function is new.function
    )
    if old is not None and is_other:
        raise ConfigError(
            f"two schedules are called {new.name!r}: one of {old.func} ({old.place}), and"
            f" one of {new.func} ({new.place}). Give one of them another name:"
            f' {word}(..., name="...")'
        )
    DECLARED[new.name] = new


def _check(word: str, said: Mapping[str, Any]) -> None:
    """Refuse a wrong value, where it is written."""
    _check_call(word, said)
    if said["tz"] is not None:
        try:
            named_zone(said["tz"])
        except ConfigError as error:
            raise ConfigError(f"{word}: {error}") from None
    _check_words(word, said)
    if said["cluster"] and (fault := queue_fault(said["cluster"])):
        raise ConfigError(f"{word}: cluster {fault}")
    jitter = said["jitter"]
    if isinstance(jitter, dt.timedelta):
        jitter = jitter.total_seconds()
    if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or jitter < 0:
        raise ConfigError(
            f"{word}: jitter is {quoted(said['jitter'])}, expected seconds >= 0 or a"
            " timedelta"
        )
    start, end = said["start"], said["end"]
    for field, moment in (("start", start), ("end", end)):
        if moment is not None and not isinstance(moment, dt.datetime):
            raise ConfigError(
                f"{word}: {field} is {quoted(moment)}, expected a datetime"
            )
    same = start and end and (start.tzinfo is None) == (end.tzinfo is None)
    if same and start >= end:
        raise ConfigError(
            f"{word}: it ends ({end}) before it starts ({start}), so it would never run"
        )


def _check_words(word: str, said: Mapping[str, Any]) -> None:
    for field, words in (("missed", _MISSED), ("overlap", _OVERLAP)):
        if said[field] not in (None, *words):
            known = " or ".join(map(repr, words))
            raise ConfigError(
                f"{word}: {field} is {quoted(said[field])}, expected {known}"
            )


def _check_call(word: str, said: Mapping[str, Any]) -> None:
    if not isinstance(said["args"], (list, tuple)):
        raise ConfigError(
            f"{word}: args is {quoted(said['args'])}, expected a list or tuple of the"
            " arguments of the function"
        )
    if not isinstance(said["kwargs"], (Mapping, type(None))):
        raise ConfigError(
            f"{word}: kwargs is {quoted(said['kwargs'])}, expected a dictionary of keywords"
            " of the function"
        )
