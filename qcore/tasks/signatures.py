"""Signatures: which arguments a function takes."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

#: Callables of these types are told apart by identity, so what was found out about one
#: may be kept under it. A stranger's object may be equal to another.
KEPT = frozenset({FunctionType, BuiltinFunctionType, MethodType, type})

#: The range of a function that cannot be called without a keyword.
_NONE_SUFFICES = (1, 0)

_LruCache = type(functools.lru_cache(lambda: None))


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a callable; None where Python cannot find it.

    It is that of a decorator's wrapper and not of what that wraps: the wrapper may add
    arguments of its own, or take some away. ``lru_cache`` is known to do neither.
    """
    try:
        follow = type(function) is _LruCache
        return inspect.signature(function, follow_wrapped=follow)
    except (ValueError, TypeError):
        return None  # builtins often have none


def range_of(function: Callable[..., Any]) -> tuple[int, int]:
    """Return how many arguments suffice, and how many are taken, without any keyword.

    The range is empty where a keyword is needed, too, and ends at ``sys.maxsize`` where
    nothing limits the number.
    """
    signature = signature_of(function)
    if signature is None:
        return 0, sys.maxsize
    least = most = 0
    for parameter in signature.parameters.values():
        is_needed = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = sys.maxsize
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if is_needed:
                return _NONE_SUFFICES
        elif parameter.kind is not parameter.VAR_KEYWORD:
            if is_needed:
                least += 1
            most = min(most + 1, sys.maxsize)
    return least, most


def has_keyword(function: Callable[..., Any], word: str) -> bool:
    """Whether a function can be called with a keyword; yes, where that cannot be told."""
    kept = type(function) in KEPT
    signature = kept_signature(function) if kept else signature_of(function)
    if signature is None:
        return True
    parameter = signature.parameters.get(word)
    if parameter is not None and parameter.kind not in _NO_KEYWORD:
        return True
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds


#: Kinds of parameters whose name is not for callers.
_NO_KEYWORD = frozenset(
    {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    }
)

kept_signature = functools.lru_cache(maxsize=1024)(signature_of)
kept_range = functools.lru_cache(maxsize=1024)(range_of)
