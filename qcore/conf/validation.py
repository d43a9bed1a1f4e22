"""A project's options are held to a table of settings.

Every problem is found in one pass and told in one line: the path, the value that
stands there, what was expected, and what to write instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..errors import did_you_mean
from ..masking import MASK, mask
from .names import quoted
from .setting import Setting

ROOT = "Q_CLUSTER"


def examine(
    settings: Collection[Setting],
    options: object,
    claimed: Collection[str] = (),
    path: str = ROOT,
) -> tuple[dict[str, Any], list[str]]:
    """Hold ``options`` to ``settings``.

    Returns:
        The values of the settings that are given and right, by name, and one message
        for each problem. Keys in ``claimed`` belong to plugins that do not describe
        them: they are neither examined nor returned.
    """
    if not isinstance(options, Mapping):
        kind = type(options).__name__
        return {}, [f"{path} is of type {kind}, expected a dict. Write {path} = {{}}."]
    known = {setting.name: setting for setting in settings}
    inner = [setting for setting in settings if "." in setting.name]
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in options.items():
        setting = known.get(key)
        if setting is None:
            if key not in claimed:
                names = [name for name in known if "." not in name]
                problems.append(f"{path}: {unknown(key, [*names, *claimed])}")
        elif not (value is None and setting.none_is_default):
            try:
                values[key] = setting.convert(value)
            except ValueError:
                problems.append(complaint(setting, value, path))
            else:
                problems += _examine_keys(setting, values, path)
    for setting in inner:
        problems += _examine_inner(setting, values, path)
    return values, problems


def _examine_keys(setting: Setting, values: dict[str, Any], path: str) -> list[str]:
    """Hold a dict to what its setting says of its keys, and keep them converted."""
    value = values[setting.name]
    if not setting.keys or not isinstance(value, Mapping):
        return []
    claimed = tuple(map(str, value)) if setting.other_keys else ()
    found, problems = examine(setting.keys, value, claimed, f"{path}[{setting.name!r}]")
    values[setting.name] = {**value, **found}
    # one hint for the whole is enough, and these keys do not stand there
    return [text.replace(f". {_ALL_KEYS}", "") for text in problems]


def _examine_inner(setting: Setting, values: dict[str, Any], path: str) -> list[str]:
    """Hold the options of a reporter to what its plugin says of them."""
    outer, _, name = setting.name.partition(".")
    given = values.get(outer)
    if not isinstance(given, Mapping) or name not in given:
        return []
    plain = {name: given[name]}
    problems = _examine_keys(replace(setting, name=name), plain, f"{path}[{outer!r}]")
    values[outer] = {**given, **plain}
    return problems


_ALL_KEYS = "Run: qcore info --config for all keys"


def unknown(key: object, known: Collection[str]) -> str:
    """Return the complaint about ``key``, with the nearest of ``known`` keys."""
    word = str(key)
    near = did_you_mean(word, known) or did_you_mean(word.lower(), known)
    return f"unknown key {quoted(key)}" + (near or f". {_ALL_KEYS}")


def complaint(setting: Setting, value: object, path: str = ROOT) -> str:
    """Return one line that says what is wrong with ``value`` and what to write."""
    shown = MASK if setting.secret else quoted(mask(value, setting.name), 80)
    fact = f"{path}[{setting.name!r}] is {shown} ({type(value).__name__})"
    return f"{fact}, expected {setting.expects}. {_remedy(setting, value)}"


def _remedy(setting: Setting, value: object) -> str:
    if not setting.secret:
        for candidate in _near(value):
            try:
                right = setting.convert(candidate, strict=False)
            except ValueError:
                continue
            if right is not None:
                value = list(right) if isinstance(right, tuple) else right
                return f"Write {quoted(value, 200)}."
    return f"Leave it out for the default, {setting.default_text}."


def _near(value: object) -> Iterator[object]:
    if isinstance(value, str):
        yield from (value.strip(), value.upper(), value.lower(), [value])
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}"
