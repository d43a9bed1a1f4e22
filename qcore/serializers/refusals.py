"""Refusals: where in a value the unserializable part is, and what to pass instead.

This is the cold path. The serializer raises ``Refused`` with nothing but the object it
met; only then is the value searched again, for the path to that object.
"""

from __future__ import annotations

import enum
import inspect
import io
import os
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..errors import SerializeError

_PICKLE = "pass plain values, or set 'serializer': 'pickle' in Q_CLUSTER"


class Refused(Exception):
    """Raised inside the serializer for ``culprit``, an object of a type it refuses."""

    def __init__(self, culprit: object) -> None:
        super().__init__(culprit)
        self.culprit = culprit


class TooDeep(Exception):
    """Raised inside the serializer for containers in containers without end."""


def refusal(value: object, refused: Refused) -> SerializeError:
    """Return the error for ``value``, which holds the refused object somewhere."""
    kind = type(refused.culprit)
    known = kind.__module__ in ("builtins", "__main__")
    name = kind.__qualname__ if known else f"{kind.__module__}.{kind.__qualname__}"
    return SerializeError(
        f"a value of type {name} cannot be sent as JSON",
        path_to(refused.culprit, value),
        hint_for(refused.culprit),
    )


def path_to(culprit: object, value: object) -> str:
    """Return the shortest path to ``culprit`` in ``value``: ``[0]['user']``."""
    waiting: deque[tuple[str, object]] = deque([("", value)])
    seen: set[int] = set()
    while waiting:
        path, node = waiting.popleft()
        if node is culprit:
            return path
        if id(node) not in seen:
            seen.add(id(node))
            waiting.extend((path + step, child) for step, child in _children(node))
    return ""


def _children(node: object) -> Iterator[tuple[str, object]]:
    kind = type(node)
    if isinstance(node, dict) and kind is dict:
        for key, child in node.items():
            yield f"[key {_short(key)}]", key
            yield f"[{_short(key)}]", child
    elif isinstance(node, (list, tuple)) and kind in (list, tuple):
        yield from ((f"[{index}]", child) for index, child in enumerate(node))
    elif isinstance(node, (set, frozenset)) and kind in (set, frozenset):
        yield from ((f"[member {_short(child)}]", child) for child in node)


def _short(value: Any) -> str:
    # The repr of a stranger's object may fail, and that of an integer of more than
    # 4300 digits does: name the type instead.
    small = type(value) is int and -(2**63) <= value < 2**64
    text = repr(value) if small or type(value) is str else type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."


def hint_for(culprit: object) -> str:
    """Return what to pass instead of ``culprit``, for the types people try."""
    kind = type(culprit)
    # Asked of the type: asking the object could run a query or a property.
    if isinstance(culprit, enum.Enum):
        return "pass its .value"
    if hasattr(kind, "_meta") and hasattr(kind, "pk"):
        return "pass its .pk: the row may change before the task runs"
    if hasattr(kind, "values_list") and hasattr(kind, "iterator"):
        return "pass list(queryset.values_list('pk', flat=True))"
    if kind.__name__ == "__proxy__":
        return "pass str(x): a lazy translation is text in the language of the moment"
    return _hint_for_base(culprit) or _hint_for_machinery(culprit) or _PICKLE


def _hint_for_base(culprit: object) -> str:
    """Hint at the plain type for an instance of a subclass, or return ``""``."""
    if isinstance(culprit, str):
        # str(x) of a SafeString is that SafeString again; a slice is not.
        return "pass x[:], which is a plain str"
    if isinstance(culprit, tuple) and hasattr(culprit, "_fields"):
        return "pass tuple(x) or x._asdict()"
    if isinstance(culprit, os.PathLike):
        return "pass str(path)"
    for base in type(culprit).__mro__[1:]:
        if base in (int, float, bytes, list, tuple, set, frozenset, dict):
            return f"pass {base.__name__}(x): a subclass would come back as its base"
        if base.__module__ in ("datetime", "decimal", "uuid"):
            return f"pass a plain {base.__name__}"
    return ""


def _hint_for_machinery(culprit: object) -> str:
    """Hint at data instead of code, handles and generators, or return ``""``."""
    if inspect.isawaitable(culprit):
        return "pass what it returns: run it with asyncio.run()"
    if isinstance(culprit, Iterator) and not isinstance(culprit, io.IOBase):
        return "pass list(x)"
    if isinstance(culprit, type) or inspect.isroutine(culprit):
        return "pass its dotted path as text"
    if isinstance(culprit, types.ModuleType):
        return "pass its name as text"
    if isinstance(culprit, io.IOBase):
        return "pass its path, or what it holds as bytes"
    if isinstance(culprit, BaseException):
        return "pass str(x)"
    if type(culprit).__module__ in ("_thread", "threading", "socket", "asyncio.locks"):
        return "make it inside the task: it cannot leave its process"
    if isinstance(culprit, memoryview):
        return "pass bytes(x)"
    return ""
