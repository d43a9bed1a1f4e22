"""A table of settings is read off a Struct, and a project's options are held to it.

Every problem is found in one pass and told in one line: the path, the value that
stands there, what was expected, and what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from ..errors import did_you_mean
from ..masking import MASK, mask

ROOT = "Q_CLUSTER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One documented key of ``Q_CLUSTER``."""

    name: str
    """The key as a project writes it."""
    attribute: str
    """The name of the field of ``Conf``."""
    type: str
    """The accepted types, in the words of Python: ``int | float | None``."""
    default: str
    """The default as it is written in Python, or a phrase where it is computed."""
    description: str
    group: str
    """The heading it stands under: cluster, tasks, broker, results and so on."""
    expects: str
    """What a right value is, in words that follow "expected"."""
    secret: bool
    none_is_default: bool
    """Whether None means the same as leaving the key out."""
    kind: Any
    """The annotation, with the limits that msgspec holds values to."""
    check: Callable[[Any], bool] | None
    """A further condition that no limit expresses."""
    unset: str
    """What holds where the project does not set it, if that is not the default."""


def about(
    group: str,
    description: str,
    expects: str = "",
    *,
    default: str = "",
    secret: bool = False,
    none_is_default: bool = False,
    check: Callable[[Any], bool] | None = None,
    unset: str = "",
) -> msgspec.Meta:
    """Describe a setting; the arguments are the fields of `Setting`.

    ``expects`` may be left out for bools and literals, ``default`` where the field's
    own default says it.
    """
    words = {
        "group": group,
        "expects": expects,
        "default": default,
        "secret": secret,
        "none_is_default": none_is_default,
        "check": check,
        "unset": unset,
    }
    return msgspec.Meta(description=description, extra=words)


def table(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """Return the settings of ``struct``: its fields annotated with `about`, in order."""
    hints = get_type_hints(struct, include_extras=True)
    return tuple(
        _setting(field, hints[field.name], meta)
        for field in msgspec.structs.fields(struct)
        if (meta := _meta(hints[field.name])) is not None
    )


def _meta(hint: Any) -> msgspec.Meta | None:
    for note in getattr(hint, "__metadata__", ()):
        if isinstance(note, msgspec.Meta) and note.extra and "group" in note.extra:
            return note
    return None


def _setting(
    field: msgspec.structs.FieldInfo, hint: Any, meta: msgspec.Meta
) -> Setting:
    words: dict[str, Any] = dict(meta.extra or {})
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    # Nested Annotated are flattened: the limits of the type stand beside `meta`.
    limits = tuple(note for note in hint.__metadata__ if note is not meta)
    kind = hint.__origin__
    if limits:
        kind = Annotated[(kind, *limits)]
    text = type_text(kind) + (" | None" if words["none_is_default"] else "")
    words["default"] = words["default"] or repr(default)
    words["expects"] = words["expects"] or _choices(kind)
    return Setting(
        name=field.encode_name,
        attribute=field.name,
        type=text,
        description=meta.description or "",
        kind=kind,
        **words,
    )


def type_text(kind: Any) -> str:
    """Return an annotation as a project would write it, without its limits."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is NoneType:
        return "None"
    if origin is Annotated:
        return type_text(args[0])
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(map(type_text, args)))
    if origin is tuple:  # kept as a tuple, for a Conf is frozen; written as a list
        return f"list[{type_text(args[0])}]"
    return str((origin or kind).__name__)


def _choices(kind: Any) -> str:
    return type_text(kind).replace(" | ", " or ").replace("bool", "True or False")


def examine(
    settings: Collection[Setting],
    options: object,
    claimed: Collection[str] = (),
    path: str = ROOT,
) -> tuple[dict[str, Any], list[str]]:
    """Hold ``options`` to ``settings``.

    Returns:
        The values of the settings that are given and right, by attribute, and one
        message for each problem. Keys in ``claimed`` belong to plugins: they are
        neither examined nor returned.
    """
    if not isinstance(options, Mapping):
        kind = type(options).__name__
        return {}, [f"{path} is of type {kind}, expected a dict. Write {path} = {{}}."]
    known = {setting.name: setting for setting in settings}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in options.items():
        setting = known.get(key)
        if setting is None:
            if key not in claimed:
                problems.append(f"{path}: {unknown(key, [*known, *claimed])}")
        elif not (value is None and setting.none_is_default):
            try:
                values[setting.attribute] = convert(setting, value)
            except ValueError:
                problems.append(complaint(setting, value, path))
    return values, problems


def unknown(key: object, known: Collection[str]) -> str:
    """Return the complaint about ``key``, with the nearest of ``known`` keys."""
    word = str(key)
    near = did_you_mean(word, known) or did_you_mean(word.lower(), known)
    return f"unknown key {key!r}" + (near or ". Run: qcore info --config for all keys")


def convert(setting: Setting, value: object, *, strict: bool = True) -> Any:
    """Return ``value`` in the type of ``setting``; ValueError when it does not fit."""
    try:
        result = msgspec.convert(value, type=setting.kind, strict=strict)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if setting.check is not None and result is not None and not setting.check(result):
        raise ValueError(setting.expects)
    return result


def complaint(setting: Setting, value: object, path: str = ROOT) -> str:
    """Return one line that says what is wrong with ``value`` and what to write."""
    text = MASK if setting.secret else repr(mask(value, setting.name))
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    fact = f"{path}[{setting.name!r}] is {shown} ({type(value).__name__})"
    return f"{fact}, expected {setting.expects}. {_remedy(setting, value)}"


def _remedy(setting: Setting, value: object) -> str:
    if not setting.secret:
        for candidate in _near(value):
            try:
                right = convert(setting, candidate, strict=False)
            except ValueError:
                continue
            if right is not None:
                return f"Write {list(right) if isinstance(right, tuple) else right!r}."
    return f"Leave it out for the default, {setting.default}."


def _near(value: object) -> Iterator[object]:
    if isinstance(value, str):
        yield from (value.strip(), value.upper(), value.lower(), [value])
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}"
