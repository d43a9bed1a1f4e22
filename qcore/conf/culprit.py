"""The culprit: the innermost part of a value that does not fit the type of its setting."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from .setting import typed


class Culprit(NamedTuple):
    """A part of a value."""

    path: tuple[object, ...]
    """The keys and positions that lead to it; empty: the value itself."""
    value: object
    kind: Any
    """The type that it should have."""
    is_key: bool = False
    """Whether it is a key of the dict to which ``path`` leads."""


def find_culprit(value: object, kind: Any) -> Culprit:
    """Return the innermost part of a value that a type does not take."""
    for one in _members(kind):
        origin, kinds = get_origin(one), get_args(one)
        if origin is dict and isinstance(value, Mapping):
            for key, inner in value.items():
                if not _fits(key, kinds[0]):
                    return Culprit((), key, kinds[0], is_key=True)
                if not _fits(inner, kinds[1]):
                    return _inside(key, find_culprit(inner, kinds[1]))
        elif origin in (list, tuple) and isinstance(value, list | tuple):
            for place, inner in enumerate(value):
                if not _fits(inner, kinds[0]):
                    return _inside(place, find_culprit(inner, kinds[0]))
    return Culprit((), value, kind)


def _members(kind: Any) -> list[Any]:
    """Return the types of a union, without their limits; of another type itself."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _members(get_args(kind)[0])
    if origin in (Union, UnionType):
        return [one for member in get_args(kind) for one in _members(member)]
    return [kind]


def _fits(value: object, kind: Any) -> bool:
    try:
        typed(value, kind)
    except ValueError:
        return False
    return True


def _inside(key: object, found: Culprit) -> Culprit:
    return found._replace(path=(key, *found.path))
