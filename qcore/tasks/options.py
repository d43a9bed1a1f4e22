"""Options: what a call says about its task, checked where the call is made.

A wrong option that travels would be found by a cluster, which can only set the whole
package aside, long after the caller has got an id.

The options themselves are in ``option_table``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..conf.names import shown
from ..errors import EnqueueError, did_you_mean, sentence
from . import plugin_options
from .option import held
from .option_table import (
    AT_CALL_ONLY,
    ELSEWHERE,
    OPTIONS,
    OWN_FIELDS,
    TABLE,
    TASK_FIELDS,
    YIELDING,
    TaskOptions,
)

__all__ = [
    "AT_CALL_ONLY",
    "ELSEWHERE",
    "OPTIONS",
    "OWN_FIELDS",
    "TABLE",
    "TASK_FIELDS",
    "YIELDING",
    "TaskOptions",
    "check_id",
    "check_options",
    "given",
    "instead_of",
    "over",
    "own_name",
    "unknown_option",
]

_ID = re.compile("[0-9a-f]{32}")


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they are used: plain values, without those that say nothing.

    ``None`` says "as usual", except for ``timeout``, where it sets no limit. An option
    that was given by another name of it comes out under its own.

    Raises:
        EnqueueError: one of them is unknown, or has a wrong type or range, or stands under
            two names with two values.
    """
    checked: dict[str, Any] = {}
    for name, value in options.items():
        option = TABLE.get(name)
        if option is None:
            of_plugin = plugin_options.names().get(name)
            if of_plugin is None:
                raise EnqueueError(unknown_option(name))
            if value is not None:
                plain_value = plugin_options.read(of_plugin, value)
                if plain_value is not None:
                    checked[name] = plain_value
            continue
        if value is None and not option.none_counts:
            continue
        plain_value = held(name, value, option.check)
        if plain_value is None and not option.none_counts:
            continue
        own = option.alias_of or name
        if own in checked and checked[own] != plain_value:
            raise EnqueueError(_told_twice(own, checked[own], plain_value))
        checked[own] = plain_value
    _refuse_contradictions(checked)
    return checked


def _refuse_contradictions(options: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other.

    Raises:
        EnqueueError: names both.
    """
    both = {*options.get("retry_on", ())} & {*options.get("discard_on", ())}
    if both:
        raise EnqueueError(
            f"the options 'retry_on' and 'discard_on' both have {min(both)!r}. Leave it out"
            " of one of them."
        )
    if "run_after" in options and options.get("delay"):
        raise EnqueueError(
            "option 'run_after' stands beside 'delay', and both say when the task may"
            " start. Leave one of them out."
        )
    if options.get("ack_failure"):
        for name in ("backoff", "retry_on"):
            if name in options:
                raise EnqueueError(
                    f"the option 'ack_failure' ends the task after its first failure, so"
                    f" {name!r} says nothing. Leave one of them out."
                )


#: Options that say the same in two ways: whoever says one of them says the other.
_RIVALS = {"delay": "run_after", "run_after": "delay"}


def over(declared: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call over those that its function declares, all checked."""
    options = {**declared, **said}
    for name, rival in _RIVALS.items():
        if name in said and rival in declared and rival not in said:
            del options[rival]
    return options


def own_name(name: str) -> str:
    """Return the name under which an option is kept: the one that an alias stands for."""
    option = TABLE.get(name)
    return (option.alias_of if option is not None else None) or name


def _told_twice(own: str, first: object, second: object) -> str:
    names = [own, *(k for k, option in TABLE.items() if option.alias_of == own)]
    told = sorted((repr(first), repr(second)))  # a set of keywords has no order
    return (
        f"the options {' and '.join(map(repr, names))} are one, and say two things:"
        f" {' and '.join(told)}. Leave one of them out."
    )


def check_id(task_id: object) -> None:
    """Refuse what is no id of a task.

    Raises:
        EnqueueError: it is not 32 hexadecimal digits in lower case.
    """
    if not isinstance(task_id, str) or not _ID.fullmatch(task_id):
        raise EnqueueError(
            f"task_id is {shown(task_id)}, expected 32 hexadecimal digits in lower case,"
            " such as uuid.uuid4().hex."
        )


def unknown_option(name: object) -> str:
    """Return the complaint about an option, with what is meant by it, perhaps."""
    near = instead_of(name) if isinstance(name, str) else ""
    known = ", ".join(sorted({*OPTIONS, *plugin_options.names()}))
    told = sentence(f"unknown option {name!r}{near}")
    return f"{told} Known options: {known}."


def instead_of(word: str) -> str:
    """Return `` - did you mean 'timeout' (seconds)?`` or the like, or ``""``."""
    if word in TABLE or word in plugin_options.names():
        return " - an option of a task stands in using() or q_options"
    known = ELSEWHERE.get(word)
    if known is None:
        return did_you_mean(word, {*OPTIONS, *plugin_options.names()})
    return f" - did you mean {known}?" if known[0] == "'" else f" - {known}"


def given(**options: Any) -> dict[str, Any]:
    """Return the options that say something: those that are not None."""
    return {key: value for key, value in options.items() if value is not None}
