"""Typed tasks: arguments become what the annotations of the function say.

Where a typed task is called, its arguments are checked against the annotations and become
plain data; where it runs, plain data becomes dataclasses and models again. msgspec does
both; models of pydantic do it themselves.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import inspect
import re
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..errors import BadPackage, EnqueueError, SerializeError
from ..serializers.refusals import hint_for
from .signatures import KEPT, signature_of

#: Types that the serializer takes as they are, so that they stay what they are.
_TAKEN = (
    bytes,
    dt.date,
    dt.datetime,
    dt.time,
    dt.timedelta,
    decimal.Decimal,
    uuid.UUID,
)
#: What has no annotation is not converted: the serializer judges it.
_ANYTHING = Any


class Typed(NamedTuple):
    """The annotations of one function, by which its arguments are converted."""

    path: str
    signature: inspect.Signature
    types: Mapping[str, Any]

    def plain(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, after: int = 0
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return arguments as plain data, checked.

        Args:
            args: the positional arguments.
            kwargs: the keyword arguments.
            after: so many positional arguments come before them, later.

        Raises:
            EnqueueError: an argument is not what its annotation says.
        """
        return self._each(args, kwargs, self._plain, after)

    def values(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return plain data as the arguments that the function expects.

        Raises:
            BadPackage: an argument is not what its annotation says.
        """
        return self._each(args, kwargs, self._value)

    def _each(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        convert: Callable[[str, Any, Any], Any],
        after: int = 0,
    ) -> tuple[list[Any], dict[str, Any]]:
        names = self._names(after + len(args))[after:]
        further = self._rest(inspect.Parameter.VAR_KEYWORD)
        of_words = {word: word if word in self.types else further for word in kwargs}
        return (
            [
                convert(name, self.types.get(name, _ANYTHING), value)
                for name, value in zip(names, args, strict=False)
            ],
            {
                word: convert(word, self.types.get(of_words[word], _ANYTHING), value)
                for word, value in kwargs.items()
            },
        )

    def _names(self, count: int) -> list[str]:
        """Return the names of so many positional parameters."""
        parameters = self.signature.parameters.values()
        names = [
            p.name
            for p in parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        rest = self._rest(inspect.Parameter.VAR_POSITIONAL)
        return [*names, *[rest] * max(0, count - len(names))][:count]

    def _rest(self, kind: Any) -> str:
        """Return the name of ``*args`` or ``**kwargs``; an empty text where there is none."""
        parameters = self.signature.parameters.values()
        return next((p.name for p in parameters if p.kind is kind), "")

    def _plain(self, name: str, kind: Any, value: Any) -> Any:
        if kind is _ANYTHING:
            return value
        try:
            plain = to_plain(value)
            # what is an instance of the right class must also have the right contents
            _convert(plain, kind)
        except (
            msgspec.ValidationError,
            SerializeError,
            ValueError,
            TypeError,
        ) as error:
            raise EnqueueError(
                f"cannot send {self.path}: its argument {name!r} is not"
                f" {_shown(kind)}: {_said(error)}"
            ) from _cause(error)
        return plain

    def _value(self, name: str, kind: Any, value: Any) -> Any:
        if kind is _ANYTHING:
            return value
        try:
            return _convert(value, kind)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise BadPackage(
                f"the argument {name!r} of {self.path} is not {_shown(kind)} in this"
                f" process: {_said(error)}. Was the annotation changed after the call?"
            ) from _cause(error)


def typed(path: str, function: Callable[..., Any]) -> Typed:
    """Return the annotations of a function of a typed task.

    Raises:
        EnqueueError: they cannot be read.
    """
    try:
        return (_kept if type(function) in KEPT else _typed)(path, function)
    except (NameError, TypeError, AttributeError) as error:
        raise EnqueueError(
            f"cannot send {path}: it is typed, and its annotations cannot be read here:"
            f" {type(error).__name__}: {error}. Import what they name when the program"
            " runs, not under TYPE_CHECKING alone."
        ) from error


def _typed(path: str, function: Callable[..., Any]) -> Typed:
    signature = signature_of(function)
    if signature is None:
        raise TypeError("Python does not know its signature")
    types = typing.get_type_hints(function, include_extras=True)
    types.pop("return", None)
    return Typed(path, signature, types)


_kept = functools.lru_cache(maxsize=1024)(_typed)


def to_plain(value: Any) -> Any:
    """Return a value of a typed task as data that the serializer takes.

    Raises:
        SerializeError: a part of it is neither data nor a model.
        TypeError: the same, as msgspec says it.
    """
    return msgspec.to_builtins(value, builtin_types=_TAKEN, enc_hook=_model_to_plain)


def plain_result(value: Any) -> Any:
    """Return what a typed task returned as data that the serializer takes.

    What cannot become data is left as it is: the serializer says so.
    """
    try:
        return to_plain(value)
    except (TypeError, ValueError, SerializeError):
        return value


def _convert(value: Any, kind: Any) -> Any:
    return msgspec.convert(
        value, kind, builtin_types=_TAKEN, dec_hook=_model_of, str_keys=False
    )


def _model_to_plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # pydantic's
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    raise SerializeError(
        f"a value of type {type(value).__qualname__} cannot be sent",
        "",
        hint_for(value),
    )


def _model_of(kind: type, value: Any) -> Any:
    validate = getattr(kind, "model_validate", None)  # pydantic's
    if validate is not None:
        try:
            return validate(value)
        except ValueError as error:
            raise ValueError(_without_values(error)) from None
    if isinstance(value, kind):
        return value
    raise TypeError(
        f"annotations of typed tasks are types of data, dataclasses and models, not"
        f" {kind.__qualname__}"
    )


def _without_values(error: Any) -> str:
    """Return what pydantic says of a model, without the values: they may be secret."""
    if not hasattr(error, "errors"):
        return str(error)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}"
        for one in found
    )


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) else str(kind)


#: What msgspec says of an enumeration or a Literal has the value, which may be secret.
_QUOTED = re.compile(r"Invalid enum value .*?(?= - at `|$)", re.DOTALL)


def _said(error: Exception) -> str:
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        text = _QUOTED.sub("it is none of the values", text)
    return " ".join(text.split())


def _cause(error: Exception) -> Exception | None:
    """Return an error as the cause of another, unless its text has the value."""
    is_quoting = isinstance(error, msgspec.ValidationError) and _QUOTED.match(
        str(error)
    )
    return None if is_quoting else error
