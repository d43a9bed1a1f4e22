"""Arguments: whether a function takes those that it is to be called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EnqueueError
from .functions import loaded
from .options import instead_of
from .signatures import KEPT, kept_range, kept_signature, range_of, signature_of


def check_call(path: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Refuse arguments that the function of a path cannot be called with, if it is loaded.

    Raises:
        EnqueueError: with the function's signature.
    """
    function = loaded(path)
    if callable(function):
        check_arguments(path, function, args, kwargs)


def check_arguments(
    path: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
) -> None:
    """Refuse arguments that a function cannot be called with, where that is known.

    Raises:
        EnqueueError: with the function's signature.
    """
    kept = type(function) in KEPT
    least, most = kept_range(function) if kept else range_of(function)
    if not kwargs and least <= len(args) <= most:
        return  # nearly always; `bind` takes 3 µs, half as long as all the rest
    signature = kept_signature(function) if kept else signature_of(function)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise EnqueueError(
            f"{path}() {error}{_meant(signature, kwargs)}; its signature is {signature}."
        ) from None


def _meant(signature: inspect.Signature, kwargs: dict[str, Any]) -> str:
    """Return what option a keyword is meant for that the function does not take."""
    for word in kwargs:
        if word not in signature.parameters and (advice := instead_of(word)):
            return f"{advice}"
    return ""
