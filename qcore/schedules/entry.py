"""Entries: what a schedule says, checked, and turned into the task of a slot.

Pure: it knows the settings and no database.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import importlib.util
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

from ..conf.names import label_fault, queue_fault, quoted
from ..envelope import Task
from ..errors import (
    BadPackage,
    ConfigError,
    EnqueueError,
    SerializeError,
    TaskNotFound,
)
from ..serializers import get_serializer
from ..tasks.allowed_tasks import is_allowed
from ..tasks.arguments import check_call
from ..tasks.calls import build, split_options
from ..tasks.functions import path_of, resolve
from ..tasks.options import AT_CALL_ONLY, check_options
from . import rules
from .datetimes import named_zone, shown, zone_of

if TYPE_CHECKING:
    from ..conf import Conf

logger = logging.getLogger("qcore.scheduler")

_json = get_serializer("json")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The text of one schedule; ``args`` and ``kwargs`` are tagged JSON."""

    name: str | None
    label: str  # its name, or its key: the group of its tasks
    func: str
    hook: str | None
    args: str
    kwargs: str
    type: str
    minutes: int | None
    cron: str | None
    next_run: dt.datetime | None
    anchor: dt.datetime | None
    cluster: str | None
    intended_date_kwarg: str | None
    seconds: int | None = None
    tz: str | None = None  # None: that of the project
    is_tracked: bool = False  # its runs must be known from their sending to their end

    # -- time --------------------------------------------------------------------
    def rule(self, conf: Conf) -> rules.Rule:
        """Return its rule, anchored so that ``next_run`` is a slot of it.

        Raises:
            ConfigError: type, minutes and cron make no rule.
        """
        rule = rules.Rule(
            type=self.type,
            minutes=self.minutes,
            cron=self.cron,
            anchor=self.anchor or self.next_run,
            zone=named_zone(self.tz) if self.tz else zone_of(conf),
            seconds=self.seconds,
        )
        if self.next_run is None or self.type == rules.CRON:
            return rule
        return rules.reanchor(rule, self.next_run)

    def first_run(self, conf: Conf, now: dt.datetime) -> dt.datetime:
        """Return when it runs first: a cron at its next slot, others now."""
        if self.type != rules.CRON:
            return now
        return rules.next_run(self.rule(conf), now) or now

    def renewed(
        self, conf: Conf, now: dt.datetime
    ) -> tuple[dt.datetime, dt.datetime | None]:
        """Return next run and anchor after its rule was changed; see ``rules.renew``.

        Raises:
            ConfigError: type, minutes and cron make no rule.
        """
        rule = dataclasses.replace(self, anchor=self.next_run).rule(conf)
        return rules.renew(rule, now)

    # -- the call ----------------------------------------------------------------
    def call(self) -> tuple[list[Any], dict[str, Any]]:
        """Return args and kwargs.

        Raises:
            EnqueueError: one of them is not JSON, or no list or dictionary.
        """
        return _decode_args(self.args), _decode_kwargs(self.kwargs)

    def task(self, conf: Conf, key: object, slot: dt.datetime) -> Task:
        """Return the task of one slot; the same slot always has the same task id.

        Args:
            conf: settings of the cluster.
            key: the schedule's primary key.
            slot: the moment that the run is meant for.

        Raises:
            EnqueueError: it cannot be sent as it is.
        """
        args, kwargs = self.call()
        kwargs, options = split_options(kwargs, self.func)
        options = {k: v for k, v in options.items() if k not in AT_CALL_ONLY}
        if self.intended_date_kwarg:
            kwargs = {**kwargs, self.intended_date_kwarg: shown(slot).isoformat()}
        if self.hook:
            options["hook"] = self.hook
        if self.cluster:
            options.pop("queue", None)
            options["cluster"] = self.cluster
        if self.is_tracked:
            options["track"] = True
        options["group"] = options.get("group") or self.label
        seconds = slot.timestamp()
        return build(
            self.func,
            args,
            kwargs,
            task_id=slot_id(conf.name, key, seconds),
            slot=seconds,
            **options,
        )

    # -- checking ----------------------------------------------------------------
    def problems(self, conf: Conf) -> dict[str, str]:
        """Return the problem of each wrong field, by name; empty where all fields are right."""
        found: dict[str, str] = {}
        self._check_rule(conf, found)
        _note(found, "hook", lambda: self._check_hook(conf, self.hook))
        self._check_func(conf, found)
        _note(found, "args", lambda: _decode_args(self.args))
        _note(found, "kwargs", lambda: self._check_options(conf))
        self._check_names(found)
        word = self.intended_date_kwarg
        if word and not word.isidentifier():
            found["intended_date_kwarg"] = (
                f"{quoted(word)} is not the name of an argument."
            )
        if not found:
            _note(found, "args", self._check_call)
        return found

    def _check_rule(self, conf: Conf, found: dict[str, str]) -> None:
        if not rules.is_type(self.type):
            return  # the choices of the field say so already
        if self.type == rules.ONCE and (self.cron or self.minutes is not None):
            given, meant = ("cron", "Cron") if self.cron else ("minutes", "Minutes")
            found["schedule_type"] = (
                f"a schedule that runs once takes no {given}: choose {meant}, or leave"
                f" {given} empty."
            )
            return
        if self.tz:
            try:
                named_zone(self.tz)
            except ConfigError as error:
                found["tz"] = f"{error}."
                return
        first = self.next_run or dt.datetime.now(zone_of(conf))
        try:
            dataclasses.replace(self, next_run=first).rule(conf)
        except ConfigError as error:
            field = {
                rules.CRON: "cron",
                rules.MINUTES: "minutes",
                rules.SECONDS: "seconds",
            }
            found[field.get(self.type, "schedule_type")] = f"{error}."

    def _check_func(self, conf: Conf, found: dict[str, str]) -> None:
        _note(found, "func", lambda: path_of(self.func))
        if "func" not in found and not is_allowed(self.func, conf):
            admitted = ", ".join(conf.allowed_tasks or ())
            found["func"] = f"Q_CLUSTER['allowed_tasks'] admits only {admitted}."
        for field, path in (("func", self.func), ("hook", self.hook)):
            if path and field not in found:
                _note(found, field, lambda path=path: _import(path))

    def _check_names(self, found: dict[str, str]) -> None:
        for field, fault, name in (
            ("name", label_fault, self.name),
            ("cluster", queue_fault, self.cluster),
        ):
            if name is not None and (told := fault(name)):
                found[field] = f"{field} {told}."

    def _check_hook(self, conf: Conf, hook: str | None) -> None:
        if hook and not is_allowed(path_of(hook), conf):
            admitted = ", ".join(conf.allowed_tasks or ())
            raise EnqueueError(
                f"the hook {hook}: Q_CLUSTER['allowed_tasks'] admits only {admitted}."
            )

    def _check_options(self, conf: Conf) -> None:
        _, options = split_options(_decode_kwargs(self.kwargs), self.func)
        self._check_hook(conf, check_options(options).get("hook"))

    def _check_call(self) -> None:
        args, kwargs = self.call()
        kwargs, _ = split_options(kwargs, self.func)
        if self.intended_date_kwarg:
            kwargs = {**kwargs, self.intended_date_kwarg: ""}
        check_call(self.func, args, kwargs)


def _import(path: str) -> None:
    """Refuse a path that leads to nothing, in a module that is installed here.

    A project that is not installed here may be where the cluster runs, and a module that
    cannot be imported here may be imported there: the worker will tell.
    """
    top = path.partition(".")[0]
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        return
    try:
        resolve(path)
    except TaskNotFound as error:
        raise EnqueueError(str(error)) from error
    except Exception as error:  # noqa: BLE001 - it is the project's code
        logger.warning("%s cannot be checked: importing it raised %s", path, error)


def encode_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, str]:
    """Return args and kwargs as a schedule stores them.

    Raises:
        EnqueueError: a value is of a type that JSON and its tags do not know.
    """
    try:
        positional = _json.dumps(list(args)).decode() if args else ""
        return positional, _json.dumps(kwargs).decode() if kwargs else ""
    except SerializeError as error:
        raise EnqueueError(f"cannot schedule with these arguments: {error}") from error


def slot_id(project: str, key: object, seconds: float) -> str:
    """Return the task id of a slot: 32 hexadecimal digits that ascend in time."""
    text = f"{project}\0{key}\0{seconds:.6f}".encode()
    tail = hashlib.blake2b(text, digest_size=10).hexdigest()
    return f"{int(seconds * 1000) & 0xFFFF_FFFF_FFFF:012x}{tail}"


def _decode_args(text: str) -> list[Any]:
    value = _decode(text, "args", '[1, "two"]') if text.strip() else []
    if not isinstance(value, list):
        raise EnqueueError(
            f'args is {type(value).__name__}, expected a JSON list like [1, "two"].'
        )
    return value


def _decode_kwargs(text: str) -> dict[str, Any]:
    value = _decode(text, "kwargs", '{"x": 1}') if text.strip() else {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise EnqueueError(
            f'kwargs is {type(value).__name__}, expected JSON like {{"x": 1}}.'
        )
    return cast("dict[str, Any]", value)


def _decode(text: str, field: str, example: str) -> object:
    try:
        return _json.loads(text.encode())
    except BadPackage as error:
        raise EnqueueError(
            f"{field}: {error}; expected JSON like {example}."
        ) from error


def _note(found: dict[str, str], field: str, check: Any) -> None:
    try:
        check()
    except EnqueueError as error:
        found[field] = str(error)
