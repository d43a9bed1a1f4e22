"""Type tags: how values that JSON does not know are written as plain JSON.

``tag`` turns a value into a tree of None, bool, int, float, str, list and dict, in
which ``{"$": name, "v": payload}`` stands for a value of another type; ``untag`` turns
it back. Both are the inside of ``JsonSerializer``.
"""

from __future__ import annotations

import datetime as dt
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from .plainer import plainer
from .refusals import Refused, TooDeep

# A container inside a container, at most this often. Far above honest data, and low
# enough that a worker deep in its own calls can read what any web process could send.
MAX_DEPTH = 100
# msgspec before 0.20 reads no integer outside 64 bits, other readers of JSON neither.
MIN_INT, MAX_INT = -(2**63), 2**64 - 1

# --- value -> tree of plain JSON ---------------------------------------------------
#
# A value that needs no tag is returned as it is, not copied: lists and dicts are searched
# first for something that does need one, with a call for each container and none for
# its members. A copy of a list of 300 small dicts takes three times as long.

_ATOMS = frozenset({NoneType, bool, str})


def _all_plain(members: Collection[Any], depth: int) -> bool:
    """Return whether no member needs a tag, at any depth; False where it is too deep."""
    for member in members:
        kind = type(member)
        if kind in _ATOMS:
            continue
        if kind is int and MIN_INT <= member <= MAX_INT:
            continue
        is_plain = _PLAIN.get(kind)
        if is_plain is None or not is_plain(member, depth):
            return False
    return True


def _is_plain_list(value: list[Any], depth: int) -> bool:
    return depth < MAX_DEPTH and _all_plain(value, depth + 1)


def _is_plain_dict(value: dict[Any, Any], depth: int) -> bool:
    for key in value:
        if type(key) is not str or key == "$":
            return False
    return depth < MAX_DEPTH and _all_plain(value.values(), depth + 1)


_PLAIN: dict[type, Callable[[Any, int], bool]] = {
    float: lambda value, _depth: math.isfinite(value),
    list: _is_plain_list,
    dict: _is_plain_dict,
}


def tag(value: object, depth: int = 0) -> object:
    """Return ``value`` as a tree of plain JSON, or raise Refused."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    tagger = _TAGGERS.get(kind)
    if tagger is None:
        return _tag_plainer(value, depth)
    return tagger(value, depth)


def _tag_plainer(value: object, depth: int) -> object:
    """Return the tree of a value of a subclass; a refusal names what was given."""
    plain = plainer(value)
    try:
        return tag(plain, depth)
    except Refused as refused:
        raise Refused(value if refused.culprit is plain else refused.culprit) from None


def _tagged(tag: str, payload: object) -> dict[str, object]:
    return {"$": tag, "v": payload}


def _tag_members(members: Collection[object], depth: int) -> list[object]:
    if depth >= MAX_DEPTH:
        raise TooDeep
    return [tag(member, depth + 1) for member in members]


def _tag_int(value: int, _depth: int) -> object:
    # Hexadecimal: Python limits decimal conversion to 4300 digits.
    return value if MIN_INT <= value <= MAX_INT else _tagged("int", hex(value))


def _tag_float(value: float, _depth: int) -> object:
    # msgspec writes nan and inf as null, without a word.
    return value if math.isfinite(value) else _tagged("float", repr(value))


def _tag_list(value: list[object], depth: int) -> object:
    return value if _all_plain(value, depth) else _tag_members(value, depth)


def _tag_tuple(value: tuple[object, ...], depth: int) -> object:
    plain = _all_plain(value, depth)
    return _tagged("tuple", value if plain else _tag_members(value, depth))


def _tag_set(value: set[object] | frozenset[object], depth: int) -> object:
    members = sorted(_tag_members(value, depth), key=repr)
    return _tagged(type(value).__name__, members)


def _tag_dict(value: dict[object, object], depth: int) -> object:
    for key in value:
        if type(key) is not str or key == "$":
            keys = _tag_members(value, depth)
            members = _tag_members(value.values(), depth)
            return _tagged("dict", list(zip(keys, members, strict=True)))
    if _all_plain(value.values(), depth):
        return value
    return dict(zip(value, _tag_members(value.values(), depth), strict=True))


def _tag_clock(value: dt.datetime | dt.time, _depth: int) -> object:
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    if zone is not None:
        value = value.replace(tzinfo=None)
    elif value.tzinfo is not None and value.utcoffset() is None:
        raise Refused(value)
    text = value.isoformat()
    payload = [text, zone, value.fold] if zone or value.fold else text
    return _tagged(type(value).__name__, payload)


def tag_surrogates(node: Any) -> Any:
    """Return a tagged tree in which text that is no UTF-8 is sent as bytes."""
    if type(node) is str:
        if _is_utf8(node):
            return node
        raw = node.encode("utf-8", "surrogatepass")
        return _tagged("str", b64encode(raw).decode("ascii"))
    if type(node) is dict:
        pairs = [(tag_surrogates(k), tag_surrogates(v)) for k, v in node.items()]
        if all(type(key) is str for key, _ in pairs):
            return dict(pairs)
        return _tagged("dict", pairs)
    if type(node) in (list, tuple):
        return [tag_surrogates(member) for member in node]
    return node


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_TAGGERS: dict[type, Callable[[Any, int], object]] = {
    int: _tag_int,
    float: _tag_float,
    list: _tag_list,
    dict: _tag_dict,
    tuple: _tag_tuple,
    set: _tag_set,
    frozenset: _tag_set,
    bytes: lambda v, _: _tagged("bytes", b64encode(v).decode("ascii")),
    bytearray: lambda v, _: _tagged("bytearray", b64encode(v).decode("ascii")),
    dt.datetime: _tag_clock,
    dt.time: _tag_clock,
    dt.date: lambda v, _: _tagged("date", v.isoformat()),
    dt.timedelta: lambda v, _: _tagged(
        "timedelta", [v.days, v.seconds, v.microseconds]
    ),
    Decimal: lambda v, _: _tagged("Decimal", str(v)),
    UUID: lambda v, _: _tagged("UUID", str(v)),
}


# --- tree of plain JSON -> value ---------------------------------------------------

# What the readers below, and the types they call, raise for bytes we did not write.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    OSError,  # ZoneInfo("Europe") opens a folder
)


def untag(node: Any) -> Any:
    """Return the value of a tree, or raise one of ``UNREADABLE`` or RecursionError."""
    if type(node) is list:
        return [untag(member) for member in node]
    if type(node) is not dict:
        return node
    if "$" not in node:
        return {key: untag(member) for key, member in node.items()}
    reader = _READERS.get(node["$"])
    if reader is None or node.keys() != {"$", "v"}:
        raise ValueError(f"unknown type tag {node['$']!r}")
    return reader(node["v"])


def _list(payload: Any) -> list[Any]:
    if type(payload) is not list:
        raise TypeError(f"expected a list, found {type(payload).__name__}")
    return payload


def _members(payload: Any) -> Iterator[Any]:
    return map(untag, _list(payload))


def _bytes(payload: str) -> bytes:
    return b64decode(payload, validate=True)


def _clock(kind: type[dt.datetime | dt.time], payload: Any) -> Any:
    if type(payload) is str:
        return kind.fromisoformat(payload)
    text, zone, fold = payload
    value = kind.fromisoformat(text).replace(fold=fold)
    return value.replace(tzinfo=ZoneInfo(zone)) if zone is not None else value


_READERS: dict[str, Callable[[Any], object]] = {
    "int": lambda v: int(v, 16),
    "float": float,
    "str": lambda v: _bytes(v).decode("utf-8", "surrogatepass"),
    "bytes": _bytes,
    "bytearray": lambda v: bytearray(_bytes(v)),
    "tuple": lambda v: tuple(_members(v)),
    "set": lambda v: set(_members(v)),
    "frozenset": lambda v: frozenset(_members(v)),
    "dict": lambda v: {untag(key): untag(member) for key, member in _list(v)},
    "datetime": lambda v: _clock(dt.datetime, v),
    "time": lambda v: _clock(dt.time, v),
    "date": dt.date.fromisoformat,
    "timedelta": lambda v: dt.timedelta(*v),
    "Decimal": Decimal,
    "UUID": UUID,
}
