"""Option: one thing that a call may say about its task, with all that is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from ..conf.names import shown
from ..errors import EnqueueError


class Wrong(Exception):
    """An option is wrong; says what was expected."""


class Fault(Exception):
    """An option is wrong; says all of it: ``is empty, expected a text``."""


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one option of a task; its name is the key that it stands under.

    Args:
        check: returns the value as it is used, of plain types, or None for "as usual".
            Raises ``Wrong``, ``Fault`` or ``EnqueueError``.
        help: one line of Markdown, for the manual.
        travels: how a worker learns of the value. ``"options"``: by the field of the same
            name of ``envelope.Options``, where the task has a say over a setting.
            ``"task"``: by the field of the same name of ``envelope.Task``. None: not at
            all, the value is used where the task is sent.
        none_counts: whether None is a value of its own. Else None says "as usual".
        yields: whether the option, as a keyword of ``async_task``, is an argument of
            the function where the function takes a keyword of that name. Options of
            django-q never yield; an option that is newer has to, or a call that worked
            before it would change its meaning. ``q_options`` is never ambiguous.
        at_call_only: whether the option makes sense only where the call is made, so
            that a schedule, whose tasks a cluster sends, ignores it.
        alias_of: the option of which this is another name, or the empty text.
        words: a word of other queues -> which option is meant by it: ``"'delay' (seconds)"``.
    """

    check: Callable[[Any], Any]
    help: str
    travels: Literal["options", "task"] | None = None
    none_counts: bool = False
    yields: bool = False
    at_call_only: bool = False
    alias_of: str = ""
    words: Mapping[str, str] = msgspec.field(default_factory=dict)


def held(name: str, value: Any, check: Callable[[Any], Any]) -> Any:
    """Return what ``check`` makes of the value of an option.

    Raises:
        EnqueueError: it has a wrong type or range; names the option.
    """
    try:
        return check(value)
    except Wrong as wrong:
        told = f"is {shown(value)}, expected {wrong}"
        raise EnqueueError(f"option {name!r} {told}.") from None
    except Fault as fault:
        raise EnqueueError(f"option {name!r} {fault}.") from None
    except EnqueueError as error:
        raise EnqueueError(f"option {name!r}: {error}") from error
