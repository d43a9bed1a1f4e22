"""A setting: one documented key of ``Q_CLUSTER``, of the core or of a plugin.

Validation, "did you mean", masking, ``qcore info --config`` and the manual use these
descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from ..errors import ConfigError

#: The largest finite float: infinity and NaN are no durations.
FINITE = 1.7976931348623157e308


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of ``Q_CLUSTER``, as the hook ``qcore_settings`` declares it.

    ::

        Setting("acme", dict, "Acme: where its server is.", secret=True, keys=(
            Setting("host", str, "Its name or address.", default="localhost"),
            Setting("port", int, "Its port.", default=7700, minimum=1, maximum=65_535),
            Setting("password", str | None, "None: no password.", secret=True),
        ))

    Raises:
        ConfigError: the declaration contradicts itself; the message says how.
    """

    name: str
    """The key as a project writes it; ``"error_reporter.acme"`` describes the options
    of a reporter."""
    type: Any
    """The type of its values, as a Python annotation: ``str | None``, ``dict``,
    ``tuple[str, ...]`` (which a project writes as a list), ``Literal["fast", "safe"]``;
    ``Annotated`` with a ``msgspec.Meta`` for limits of other kinds."""
    help: str
    """The meaning, for the manual: sentences that end with a full stop."""
    _: KW_ONLY
    default: Any = None
    """The value if the project does not set the key."""
    minimum: float | None = None
    """The smallest number; for a text, list or dict the smallest length."""
    maximum: float | None = None
    """The largest number; for a text, list or dict the largest length."""
    secret: bool = False
    """Whether the value is masked wherever it is shown. In a dict, values under names like
    "password" are masked anyway."""
    keys: tuple[Setting, ...] = ()
    """The keys of a dict; any other key is an error."""
    other_keys: bool = False
    """Whether a dict may have keys besides ``keys``: options of a driver, for example."""
    each: tuple[Setting, ...] = ()
    """The keys of each dict in a dict of dicts; any other key is an error."""
    belongs_to: str = ""
    """The key without which this setting has no effect; a check warns if it is not set."""
    expects: str = ""
    """The words after "expected" in an error; by default made from ``type`` and limits."""
    check: Callable[[Any], bool] | None = None
    """A further condition, asked when the type and all keys are right: returns False for a
    wrong value. It may raise ``ValueError(expected, *path)`` instead: the words after
    "expected" in the error, and the keys that lead to the culprit inside of the value."""
    group: str = "plugins"
    """The heading in the manual."""
    default_text: str = ""
    """The default in words, for the manual, if it is computed."""
    none_is_default: bool = False
    """Whether None means the default."""
    unset: str = ""
    """The behaviour in words if the project does not set the key and the default does not
    tell."""
    attribute: str = ""
    """The name of its field of ``Conf``; for the settings of the core only."""
    kind: Any = field(init=False, repr=False, compare=False)
    """``type`` with the limits, as msgspec reads them."""

    def __post_init__(self) -> None:
        """Compute the other fields, and refuse a declaration that no value can satisfy."""
        set_ = object.__setattr__
        set_(self, "keys", tuple(self.keys))
        set_(self, "each", tuple(self.each))
        try:
            set_(self, "kind", limited(self.type, self.minimum, self.maximum))
            _try(self.kind)
        except (TypeError, ValueError, NameError) as error:
            raise ConfigError(
                f"the setting {self.name!r} cannot be declared with the type"
                f" {self.type!r}: {error}"
            ) from error
        if not self.expects:
            set_(self, "expects", words_for(self.type, self.minimum, self.maximum))
        if not self.default_text:
            set_(self, "default_text", repr(self.default))
        if not self.attribute and self.default is not None:
            try:
                set_(self, "default", self.convert(self.default))
            except ValueError as error:
                raise ConfigError(
                    f"the setting {self.name!r} has the default {self.default!r}, which"
                    f" it would not accept: {error}"
                ) from error

    @property
    def type_text(self) -> str:
        """The type as a project would write it, without its limits."""
        return type_text(self.kind) + (" | None" if self.none_is_default else "")

    def convert(self, value: object, *, strict: bool = True) -> Any:
        """Return a value in the type of the setting; ValueError where it does not fit."""
        result = self.typed(value, strict=strict)
        self.require(result)
        return result

    def typed(self, value: object, *, strict: bool = True) -> Any:
        """Return a value in the type of the setting, before ``check``; or ValueError."""
        return typed(value, self.kind, strict=strict)

    def require(self, value: object) -> None:
        """Ask ``check`` of a value that has the right type.

        Raises:
            ValueError: with the words after "expected", and the keys that lead to the
                culprit inside of the value.
        """
        if self.check is None or value is None:
            return
        try:
            is_right = self.check(value)
        except ValueError as error:
            words = error.args[0] if type(error) is ValueError and error.args else None
            # that of another library, or one that may quote a secret, says nothing here
            if self.secret or not isinstance(words, str):
                raise ValueError(self.expects) from None
            raise
        except Exception as error:
            raise ValueError(
                f"{self.expects} (its check has failed: {type(error).__name__})"
            ) from error
        if not is_right:
            raise ValueError(self.expects)


def typed(value: object, kind: Any, *, strict: bool = True) -> Any:
    """Return a value in a type of msgspec; ValueError where it does not fit."""
    try:
        return msgspec.convert(value, type=kind, strict=strict)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _try(kind: Any) -> None:
    """Raise TypeError for a type, or a limit on it, that msgspec does not know."""
    try:
        msgspec.convert(None, type=kind)
    except msgspec.ValidationError:
        return  # it knows the type, and None is none of it


def limited(kind: Any, minimum: float | None, maximum: float | None) -> Any:
    """Return a type with limits on each of its members to which they can apply."""
    origin = get_origin(kind)
    if origin is Annotated:
        return kind  # it brings its own
    if origin in (Union, UnionType):
        return Union[  # noqa: UP007 - of a list that is made here
            tuple(limited(one, minimum, maximum) for one in get_args(kind))
        ]
    if kind is float:
        least = -FINITE if minimum is None else minimum
        return Annotated[
            float, msgspec.Meta(ge=least, le=FINITE if maximum is None else maximum)
        ]
    if minimum is None and maximum is None:
        return kind
    if kind is int:
        return Annotated[int, msgspec.Meta(ge=_whole(minimum), le=_whole(maximum))]
    if (origin or kind) in (str, bytes, list, tuple, dict, set, frozenset):
        length = msgspec.Meta(min_length=_whole(minimum), max_length=_whole(maximum))
        return Annotated[kind, length]
    return kind


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


def type_text(kind: Any) -> str:
    """Return an annotation as a project would write it, without its limits."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is NoneType:
        return "None"
    if kind is Any:
        return "anything"
    if origin is Annotated:
        return type_text(args[0])
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(map(type_text, args)))
    if origin is tuple:  # kept as a tuple, for a Conf is frozen; written as a list
        return f"list[{type_text(args[0])}]"
    return str((origin or kind).__name__)


_NOUNS: Mapping[Any, str] = {
    bool: "True or False",
    int: "an int",
    float: "a number",
    str: "a text",
    dict: "a dict",
    list: "a list",
    tuple: "a list",
    NoneType: "None",
}


def words_for(
    kind: Any, minimum: float | None = None, maximum: float | None = None
) -> str:
    """Return words for a type and its limits: ``"an int from 1 to 9, or None"``."""
    if get_origin(kind) is Annotated and minimum is maximum is None:
        kind, meta = get_args(kind)[:2]
        if isinstance(meta, msgspec.Meta):
            minimum = meta.ge if meta.min_length is None else meta.min_length
            maximum = meta.le if meta.max_length is None else meta.max_length
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    nouns = [_noun(one) for one in members if one is not NoneType]
    if {int, float} <= set(members):
        nouns.remove("an int")
    bounds = ""
    if minimum is not None and maximum is not None:
        bounds = f" from {minimum:,} to {maximum:,}"
    elif minimum is not None:
        bounds = f" >= {minimum:,}"
    elif maximum is not None:
        bounds = f" <= {maximum:,}"
    if bounds and not {int, float} & set(members):
        bounds = f" of a length{bounds}"
    text = " or ".join(nouns) + bounds
    if NoneType in members:
        return f"{text}, or None" if bounds else f"{text} or None"
    return text


def _noun(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _noun(args[0])
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin in (list, tuple) and args[0] is str:
        return "a list of texts"
    return _NOUNS.get(origin or kind, type_text(kind))
