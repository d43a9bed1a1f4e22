"""The arguments of a schedule: text of Python literals here, tagged JSON in the table."""

from __future__ import annotations

import ast
from typing import Any

from qcore.errors import BadPackage, SerializeError
from qcore.serializers import get_serializer

_json = get_serializer("json")


class NotLiterals(ValueError):
    """A text holds something else than literals; says what."""


def read_args(text: object) -> tuple[Any, ...]:
    """Return the positional arguments of ``"2, 'two'"``; a tuple or list is taken as it is.

    Raises:
        NotLiterals: the text holds something else.
    """
    if isinstance(text, tuple | list):
        return tuple(text)
    if text is None or not str(text).strip():
        return ()
    value = _evaluate(str(text), "args", "1, 2, 'John'")
    return value if isinstance(value, tuple) else (value,)


def read_kwargs(text: object) -> dict[str, Any]:
    """Return the keyword arguments of ``"x=1"`` or of ``"{'x': 1}"``.

    Raises:
        NotLiterals: the text holds something else.
    """
    if isinstance(text, dict):
        return dict(text)
    if text is None or not str(text).strip():
        return {}
    source = str(text).strip()
    if source.startswith("{"):
        value = _evaluate(source, "kwargs", "x=1, name='John'")
        if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
            raise NotLiterals(f"kwargs is {source[:80]!r}, expected names and values.")
        return value
    try:
        call = ast.parse(f"call({source})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("it is no list of name=value")
        pairs = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _told(source, "kwargs", "x=1, name='John'") from error
    if None in pairs:
        raise NotLiterals(f"kwargs is {source[:80]!r}, expected no ** in it.")
    return {str(name): value for name, value in pairs.items()}


def _evaluate(source: str, field: str, example: str) -> Any:
    try:
        return ast.literal_eval(source.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _told(source, field, example) from error


def _told(source: str, field: str, example: str) -> NotLiterals:
    return NotLiterals(
        f"{field} is {source[:80]!r}, expected literals such as {example}."
    )


def to_json(value: tuple[Any, ...] | dict[str, Any]) -> str:
    """Return arguments as a schedule of qcore stores them.

    Raises:
        NotLiterals: a value is of a type that the JSON of qcore does not know.
    """
    if not value:
        return ""
    plain = list(value) if isinstance(value, tuple) else value
    try:
        return _json.dumps(plain).decode()
    except SerializeError as error:
        raise NotLiterals(f"an argument cannot be stored: {error}.") from error


def from_json(text: str) -> str:
    """Return stored arguments as text of Python: ``(2,)``, ``{'a': 1}``.

    What cannot be read is returned as it is: the scheduler says what is wrong with it.
    """
    if not text:
        return text
    try:
        value = _json.loads(text.encode())
    except BadPackage:
        return text
    return repr(tuple(value) if isinstance(value, list) else value)
