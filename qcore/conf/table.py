"""The settings of the core, read off a Struct: its fields annotated with `about`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import msgspec

from .setting import Setting, type_text


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
        "default_text": default,
        "secret": secret,
        "none_is_default": none_is_default,
        "check": check,
        "unset": unset,
    }
    return msgspec.Meta(description=description, extra=words)


def table(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """Return the settings of ``struct``, in order."""
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
    words["expects"] = words["expects"] or _choices(kind)
    return Setting(
        name=field.encode_name,
        attribute=field.name,
        type=kind,
        help=meta.description or "",
        default=default,
        **words,
    )


def _choices(kind: Any) -> str:
    return type_text(kind).replace(" | ", " or ").replace("bool", "True or False")
