"""Templates of keys: texts that are filled with the arguments of a task by their names."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from qcore.errors import EnqueueError

if TYPE_CHECKING:
    from qcore import NewTask


def check_template(template: object) -> None:
    """Refuse what is no template of plain names.

    Raises:
        ValueError: with the words after "expected".
    """
    if not isinstance(template, str) or not template:
        raise ValueError(
            f"key= with a template such as '{{customer}}', got {template!r}"
        )
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template)]
    except ValueError as error:
        raise ValueError(
            f"a template of the key; this one has an error: {error}"
        ) from None
    for name in names:
        if name is not None and not name.isidentifier():
            raise ValueError(
                "a template of the key with names of arguments in braces, such as"
                f" 'order:{{order_id}}'; {name!r} is no such name"
            )


def fill(template: str, new: NewTask) -> str:
    """Return a template filled with the arguments of a task.

    Raises:
        EnqueueError: it names what is no argument of the function, or the value of an
            argument has no text.
    """
    arguments = new.arguments()
    try:
        return template.format_map(arguments)
    except KeyError as error:
        known = ", ".join(arguments) or "none"
        raise EnqueueError(
            f"cannot send {new.task.func}: the key {template!r} names {error}, which is"
            f" no argument of the function. Its arguments are: {known}."
        ) from None
    except Exception as error:
        raise EnqueueError(
            f"cannot send {new.task.func}: the key {template!r} cannot be filled:"
            f" {type(error).__name__}: {error}"
        ) from error
