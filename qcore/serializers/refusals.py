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
from typing import Any, cast

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
    kind = type(node)  # isinstance would ask the object, and make what is lazy
    if issubclass(kind, dict):
        for key, child in dict.items(cast("dict[object, object]", node)):
            yield f"[key {_short(key)}]", key
            yield f"[{_short(key)}]", child
        return
    for base in (list, tuple):
        if issubclass(kind, base):
            members = base.__iter__(cast("Any", node))
            yield from ((f"[{index}]", child) for index, child in enumerate(members))
    for unordered in (set, frozenset):
        if issubclass(kind, unordered):
            members = unordered.__iter__(cast("Any", node))
            yield from ((f"[member {_short(child)}]", child) for child in members)


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
    if issubclass(kind, enum.Enum):
        return "pass its .value"
    if hasattr(kind, "_meta") and hasattr(kind, "pk"):
        return "pass its .pk: the row may change before the task runs"
    if hasattr(kind, "values_list") and hasattr(kind, "iterator"):
        return "pass list(queryset.values_list('pk', flat=True))"
    if kind.__module__ == "django.utils.functional":
        return _hint_for_lazy(culprit)
    return (
        _hint_for_science(kind)
        or _hint_for_base(culprit)
        or _hint_for_machinery(culprit)
        or _PICKLE
    )


def _hint_for_lazy(culprit: Any) -> str:
    """Hint at what is behind a lazy object of Django, such as ``request.user``."""
    try:
        behind = type(culprit._wrapped)  # noqa: SLF001 - asking it would make it
    except Exception:  # noqa: BLE001 - it has none, or it cannot be had now
        behind = object
    if hasattr(behind, "_meta") and hasattr(behind, "pk"):
        return "pass its .pk: the row may change before the task runs"
    return "pass what it stands for: it is made when it is first used"


#: Class of numpy or pandas -> what to pass. The other scalars of numpy have ``item``.
_SCIENCE = {
    "numpy": {
        "ndarray": "pass x.tolist()",
        "datetime64": "pass x.astype('datetime64[us]').item()",
        "timedelta64": "pass x.astype('timedelta64[us]').item()",
    },
    "pandas": {
        "Timestamp": "pass x.to_pydatetime(), which has no nanoseconds",
        "Timedelta": "pass x.to_pytimedelta(), which has no nanoseconds",
        "NaTType": "pass None",
        "NAType": "pass None",
        "DataFrame": "pass x.to_dict('records'), or where the data is stored",
        "Series": "pass x.tolist(), or where the data is stored",
    },
}


def _hint_for_science(kind: type) -> str:
    """Return a hint how to pass a value of numpy or pandas, or ``""``."""
    package = kind.__module__.partition(".")[0]
    known = _SCIENCE.get(package, {}).get(kind.__name__)
    if known is not None:
        return known
    if package == "numpy" and hasattr(kind, "item"):
        return "pass x.item(), the number of Python"
    if package in _SCIENCE and hasattr(kind, "tolist"):
        return "pass x.tolist()"
    return ""


def _hint_for_base(culprit: object) -> str:
    """Hint at the plain type for an instance of a subclass, or return ``""``."""
    if isinstance(culprit, os.PathLike):
        return "pass str(path)"
    for base in type(culprit).__mro__[1:]:
        if base in (int, float, bytes, list, tuple, set, frozenset, dict):
            return f"pass {base.__name__}(x)"
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
