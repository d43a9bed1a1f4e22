"""Functions by dotted path: how they are named, found and checked.

Only the path travels. It is looked up in the worker, so web and cluster need the
same code, and a path is all that an attacker could choose.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EnqueueError, TaskNotFound, did_you_mean


def path_of(function: Callable[..., Any] | str) -> str:
    """Return the dotted path under which a worker finds a function.

    Raises:
        EnqueueError: it has none: a lambda, a nested function, a bound method.
    """
    if isinstance(function, str):
        _refuse_unknown(function)
        return function
    path = _known_path(function) if _hashable(function) else None
    return path or _describe(function)


def _hashable(function: Callable[..., Any]) -> bool:
    return type(function).__hash__ is not None


@functools.lru_cache(maxsize=1024)
def _known_path(function: Callable[..., Any]) -> str:
    return _describe(function)


def _describe(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None) or getattr(
        getattr(function, "__self__", None), "__name__", None
    )
    if not callable(function):
        raise EnqueueError(
            f"cannot send {function!r}: expected a function or its dotted path, got"
            f" {type(function).__name__}."
        )
    if name is None or module is None:
        raise EnqueueError(
            f"cannot send {function!r}: it has no name that a worker could import."
            " Pass a function of a module."
        )
    for mark, what in (("<lambda>", "a lambda"), ("<locals>", "a nested function")):
        if mark in name:
            raise EnqueueError(
                f"cannot send {what} ({module}.{name}): only the dotted path travels to"
                " the worker, and this has none. Move it to the top of a module."
            )
    owner = getattr(function, "__self__", None)
    if (
        owner is not None
        and not isinstance(owner, type)
        and not inspect.ismodule(owner)
    ):
        raise EnqueueError(
            f"cannot send the bound method {module}.{name}: its"
            f" {type(owner).__name__} object would stay behind. Pass a function and"
            " the object's key."
        )
    if module == "__main__":
        raise EnqueueError(
            f"cannot send {name}: it is defined in __main__, which is another module"
            " in the worker. Move it into a module and import it."
        )
    return f"{module}.{name}"


@functools.lru_cache(maxsize=1024)
def resolve(path: str) -> Callable[..., Any]:
    """Return the function at a dotted path, importing its module.

    Raises:
        TaskNotFound: there is no such module, or nothing callable of that name in it.
        Exception: whatever the module raises when it is imported.
    """
    module, names = _import_longest(path)
    found: Any = module
    for name in names:
        if not hasattr(found, name):
            near = did_you_mean(name, [n for n in dir(found) if not n.startswith("_")])
            raise TaskNotFound(
                f"there is no function {path!r}: {_label(found)} has no {name!r}{near}."
            )
        found = getattr(found, name)
    if not callable(found):
        raise TaskNotFound(
            f"{path!r} is not a function but {type(found).__name__}, so it cannot run."
        )
    function: Callable[..., Any] = found
    return function


def _import_longest(path: str) -> tuple[Any, Sequence[str]]:
    """Import as much of the path as is a module; return it and the names after it."""
    parts = path.split(".")
    if len(parts) < 2 or not all(parts):
        raise TaskNotFound(
            f"{path!r} is not a dotted path; expected 'module.function', like"
            " 'shop.tasks.send_receipt'."
        )
    module = None
    for end in range(1, len(parts)):
        name = ".".join(parts[:end])
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it imports is not
            if module is None:
                raise TaskNotFound(
                    f"there is no function {path!r}: no module named {name!r}. Is it"
                    " installed where the cluster runs?"
                ) from error
            return module, parts[end - 1 :]
    return module, parts[-1:]


def _label(found: Any) -> str:
    kind = "module" if inspect.ismodule(found) else "class"
    return f"{kind} {found.__name__!r}" if hasattr(found, "__name__") else repr(found)


@functools.lru_cache(maxsize=1024)
def _refuse_unknown(path: str) -> None:
    """Refuse a path that is wrong beyond doubt, without importing its module.

    A project that is not installed here may be where the cluster runs, so only what
    is installed can be judged.
    """
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise EnqueueError(
            f"{path!r} is not a dotted path; expected 'module.function', like"
            " 'shop.tasks.send_receipt'."
        )
    for end in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:end])
        if name in sys.modules:
            _refuse_missing_name(path, name, parts[end:])
            return


def _refuse_missing_name(path: str, module: str, names: Sequence[str]) -> None:
    found = sys.modules[module]
    if hasattr(found, names[0]):
        return
    if hasattr(found, "__path__") and _has_submodule(module, names[0]):
        return
    near = did_you_mean(names[0], [n for n in dir(found) if not n.startswith("_")])
    raise EnqueueError(
        f"there is no {path!r}: {_label(found)} has no {names[0]!r}{near}."
    )


def _has_submodule(package: str, name: str) -> bool:
    try:
        return importlib.util.find_spec(f"{package}.{name}") is not None
    except (ImportError, ValueError):
        return False


@functools.lru_cache(maxsize=1024)
def _signature(path: str) -> inspect.Signature | None:
    """The signature of a function that is loaded already, if it can be told."""
    if path.rpartition(".")[0] not in sys.modules:
        return None
    try:
        return inspect.signature(resolve(path))
    except (ValueError, TypeError, TaskNotFound):
        return None  # builtins often have none


@functools.lru_cache(maxsize=1024)
def _positional(path: str) -> tuple[float, float]:
    """Return how many arguments suffice, and how many are taken, without any keyword.

    Where that cannot be told, or none suffice, the range is empty or holds everything.
    """
    signature = _signature(path)
    if signature is None:
        return 0, math.inf
    least = most = 0.0
    for parameter in signature.parameters.values():
        needed = parameter.default is parameter.empty
        if parameter.kind is parameter.KEYWORD_ONLY:
            least += math.inf if needed else 0
        elif parameter.kind is parameter.VAR_POSITIONAL:
            most = math.inf
        elif parameter.kind is not parameter.VAR_KEYWORD:
            least, most = least + needed, most + 1
    return least, most


def check_call(path: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Refuse arguments that the function cannot be called with, where that is known.

    Raises:
        EnqueueError: with the function's signature.
    """
    least, most = _positional(path)
    if not kwargs and least <= len(args) <= most:
        return  # nearly always; `bind` takes 3 µs, half as long as all the rest
    signature = _signature(path)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise EnqueueError(f"{path}() {error}; its signature is {signature}.") from None
