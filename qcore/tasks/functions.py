"""Functions by dotted path: how they are named and found.

Only the path travels. It is looked up in the worker, so web and cluster need the
same code, and a path is all that an attacker could choose.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, MethodType
from typing import Any

from ..conf.names import plain, quoted
from ..errors import EnqueueError, TaskNotFound, did_you_mean, sentence
from . import discovery
from .naming import alias_of, describe, is_double, refuse_main
from .signatures import KEPT, has_keyword
from .unwrap import is_wrapper, options_of, unwrap


# -- from a function to its path ------------------------------------------------------
def path_of(function: Callable[..., Any] | str) -> str:
    """Return the dotted path under which a worker finds a function.

    Raises:
        EnqueueError: it has none (a lambda, a nested function, a bound method), or its
            path leads to something else.
    """
    return target_of(function)[0]


#: The path of a function, the function in this process, and the options declared for it.
Target = tuple[str, Callable[..., Any] | None, Mapping[str, Any]]


def target_of(function: Callable[..., Any] | str) -> Target:
    """Return what is known of a function, or of a task object, before a call is sent.

    The second is None where the module of a path is not loaded here. A module of tasks
    of an installed app is imported for it, for what its tasks declare.

    Raises:
        EnqueueError: see ``path_of``.
    """
    if isinstance(function, str):
        path = function if type(function) is str else plain(function)
        _refuse_unknown(path)
        held = _held(path)
        if held is None and discovery.load(_ends(path)[0]):
            _refuse_unknown.cache_clear()
            _refuse_unknown(path)
            held = _held(path)
        found = unwrap(held)
        if found is not None and not callable(found):
            raise EnqueueError(
                f"cannot send {path!r}: it is not a function but {type(found).__name__}."
            )
        return path, found, options_of(held)
    given: Callable[..., Any] = unwrap(function)
    path = _known_path(given) if type(given) in KEPT else describe(given)
    held = _held(path)
    found = unwrap(held)
    # the path is kept, where it leads to is not: names are given to something else
    if found is not given and not _is_same(found, given):
        found = _elsewhere(path, given)
    declared = options_of(function if is_wrapper(function) else held)
    return path, found, declared


_known_path = functools.lru_cache(maxsize=1024)(describe)


def _is_same(found: object, function: object) -> bool:
    """Whether two methods of a class are one; each lookup makes a new object."""
    kind = type(function)
    return kind in (MethodType, BuiltinFunctionType) and bool(found == function)


def _elsewhere(path: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a path leads to that is not ``function``, where that may be.

    Raises:
        EnqueueError: a worker would run something else, or nothing.
    """
    try:
        found = resolve(path)
    except Exception as error:
        raise EnqueueError(
            f"cannot send {path}: a worker would not find it under this path."
            f" {type(error).__name__}: {error}"
        ) from error
    if found is function or _is_same(found, function) or is_double(found):
        return found
    other = alias_of(function)
    if other is not None:
        advice = f"Send it by the path of that name: {other!r}."
    elif hasattr(function, "__wrapped__"):
        advice = "Give the wrapper a name of its own in its module, and send that path."
    else:
        advice = f"Import it again, or send the path {path!r} to run the newer one."
    raise EnqueueError(
        f"cannot send {path}: the worker gets only this path, and it leads to another"
        f" {type(found).__name__} than the one given"
        f"{_why(function)}. {advice}"
    )


def _why(function: Callable[..., Any]) -> str:
    if hasattr(function, "__wrapped__"):
        return ", whose name is that of the function inside it (functools.wraps)"
    return "; a newer definition has this name"


# -- from a path to its function ------------------------------------------------------
def loaded(path: str) -> Any:
    """Return the function at a path; None where its module is not loaded."""
    return unwrap(_held(path))


def _held(path: str) -> Any:
    """Return what a path leads to now, which may be a task object."""
    module, name = _ends(path)
    found: Any = sys.modules.get(module)
    if found is not None:
        return getattr(found, name, None)
    return _loaded_deeper(path.split("."))


def leads_to(path: str, function: Callable[..., Any] | None) -> bool:
    """Whether a path of a module and a name leads to this very function now.

    False where it leads to a task object around it.
    """
    module, name = _ends(path)
    # not `_held`, whose search for a class need not be made here
    found: Any = sys.modules.get(module)
    return found is not None and getattr(found, name, None) is function is not None


@functools.lru_cache(maxsize=1024)
def _ends(path: str) -> tuple[str, str]:
    """Return what stands before the last dot of a path, and what after it."""
    module, _, name = path.rpartition(".")
    return module, name


def _loaded_deeper(parts: Sequence[str]) -> Any:
    for end in range(len(parts) - 2, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:end]))
        if found is not None:
            for name in parts[end:]:
                found = getattr(found, name, None)
            return found
    return None


def resolve(path: str) -> Callable[..., Any]:
    """Return the function that a dotted path leads to now, importing its module.

    Which part of the path is the module is kept; what the module holds is asked each
    time, for a test may have put something else there.

    Raises:
        TaskNotFound: there is no such module, or nothing callable of that name in it.
        Exception: whatever the module raises when it is imported.
    """
    name, names = _place(path)
    found: Any = sys.modules.get(name)
    if found is None:  # it is not loaded any more
        found, names = _import_longest(path)
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TaskNotFound(
                sentence(f"there is no function {path!r}: {_lacks(found, name)}")
            ) from None
    found = unwrap(found)
    if not callable(found):
        raise TaskNotFound(
            f"{path!r} is not a function but {type(found).__name__}, so it cannot run."
        )
    function: Callable[..., Any] = found
    return function


@functools.lru_cache(maxsize=1024)
def _place(path: str) -> tuple[str, Sequence[str]]:
    """Return the name of the module of a path, imported, and the names after it."""
    module, names = _import_longest(path)
    found = module
    for name in names:  # a path that leads nowhere is not kept
        if not hasattr(found, name):
            told = f"there is no function {path!r}: {_lacks(found, name)}"
            raise TaskNotFound(sentence(told))
        found = getattr(found, name)
    return ".".join(path.split(".")[: -len(names)]), names


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


def _lacks(found: Any, name: str) -> str:
    """Return ``module 'shop.tasks' has no 'mial' - did you mean 'mail'?``."""
    near = did_you_mean(name, [n for n in dir(found) if not n.startswith("_")])
    kind = "module" if inspect.ismodule(found) else "class"
    own = getattr(found, "__name__", None)
    label = f"{kind} {own!r}" if own else f"the {type(found).__name__}"
    return f"{label} has no {name!r}{near}"


@functools.lru_cache(maxsize=1024)
def _refuse_unknown(path: str) -> None:
    """Refuse a path that is wrong beyond doubt, without importing its module.

    A project that is not installed here may be where the cluster runs, so only what
    is installed can be judged.
    """
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise EnqueueError(
            f"{quoted(path, 200)} is not a dotted path; expected 'module.function', like"
            " 'shop.tasks.send_receipt'."
        )
    refuse_main(parts[0], path)
    for end in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:end])
        if name in sys.modules:
            _refuse_missing_name(path, name, parts[end:])
            return


def _refuse_missing_name(path: str, module: str, names: Sequence[str]) -> None:
    found = sys.modules[module]
    for name in names:
        if not hasattr(found, name):
            if hasattr(found, "__path__") and _has_submodule(found.__name__, name):
                return
            raise EnqueueError(sentence(f"there is no {path!r}: {_lacks(found, name)}"))
        found = getattr(found, name)


def _has_submodule(package: str, name: str) -> bool:
    try:
        return importlib.util.find_spec(f"{package}.{name}") is not None
    except (ImportError, ValueError):
        return False


def takes_keyword(function: Callable[..., Any] | str, word: str) -> bool:
    """Whether a function can be called with a keyword; True if that is not known.

    Args:
        function: a function, or its dotted path, whose module is not imported for it.
        word: the keyword.
    """
    held = _held(function) if isinstance(function, str) else function
    found = unwrap(held)
    return not callable(found) or has_keyword(found, word)
