"""A project's options are held to a table of settings.

Every problem is found in one pass and told in one line: the path, the value that
stands there, what was expected, and what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

from ..errors import did_you_mean
from ..masking import MASK, mask, mask_url
from .culprit import Culprit, find_culprit
from .names import quoted, shown
from .setting import Setting, typed, words_for

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
            problems += _examine_one(setting, value, values, path)
    for setting in inner:
        problems += _examine_inner(setting, values, path)
    return values, problems


def _examine_one(
    setting: Setting, value: object, values: dict[str, Any], path: str
) -> list[str]:
    """Keep a value that is right in ``values``; return what is wrong with it."""
    name = setting.name
    try:
        values[name] = setting.typed(value)
    except ValueError:
        return [complaint(setting, value, path)]
    problems = _examine_keys(setting, values, path)
    if not problems:
        try:
            setting.require(values[name])
        except ValueError as error:
            del values[name]
            return [_refusal(setting, value, path, error)]
    return problems


def _examine_keys(setting: Setting, values: dict[str, Any], path: str) -> list[str]:
    """Hold a dict to what its setting says of its keys, and keep them converted."""
    value = values[setting.name]
    problems: list[str] = []
    if not isinstance(value, Mapping):
        return []
    place = f"{path}[{setting.name!r}]"
    if setting.keys:
        claimed = tuple(map(str, value)) if setting.other_keys else ()
        found, problems = examine(setting.keys, value, claimed, place)
        values[setting.name] = {**value, **found}
    if setting.each:
        found = dict(value)
        for name, words in value.items():
            inner, wrong = examine(setting.each, words, (), f"{place}[{quoted(name)}]")
            found[name] = {**words, **inner} if isinstance(words, Mapping) else words
            problems += wrong
        values[setting.name] = found
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
    found = find_culprit(value, setting.kind)
    if found.is_key:
        keys = _path((setting.name, *found.path))
        words = f"expected {words_for(found.kind)}"
        return f"{path}{keys} has the key {shown(found.value)}, {words}."
    fact = _fact(setting, found.path, found.value, path)
    near = _near_words(found, setting)
    if found.path:
        remedy = _written(setting, found.value, found.kind) or near or "."
        return f"{fact}, expected {words_for(found.kind)}{remedy}"
    remedy = _written(setting, value, setting.kind, setting.require) or near
    return f"{fact}, expected {setting.expects}{remedy or _left_out(setting)}"


def _refusal(setting: Setting, value: object, path: str, error: ValueError) -> str:
    """Return the complaint about a value that the setting's own check refuses."""
    words, *keys = error.args
    if words == setting.expects:
        remedy = _written(setting, value, setting.kind, setting.require)
        fact = _fact(setting, (), value, path)
        return f"{fact}, expected {words}{remedy or _left_out(setting)}"
    inner = value
    for key in keys:
        inner = inner[key] if isinstance(inner, Mapping | list | tuple) else None
    return f"{_fact(setting, keys, inner, path)}, expected {mask_url(words)}."


def _fact(setting: Setting, keys: Sequence[object], value: object, path: str) -> str:
    name = next((k for k in reversed(keys) if isinstance(k, str)), setting.name)
    told = MASK if setting.secret else quoted(mask(value, name), 80)
    return f"{path}{_path((setting.name, *keys))} is {told} ({type(value).__name__})"


def _path(keys: Iterable[object]) -> str:
    return "".join(f"[{quoted(key)}]" for key in keys)


def _near_words(found: Culprit, setting: Setting) -> str:
    """Return `` - did you mean 'x'?`` where one of some words was expected."""
    kinds = [found.kind, *get_args(found.kind)]
    words = [w for k in kinds if get_origin(k) is Literal for w in get_args(k)]
    if (
        setting.secret
        or not isinstance(found.value, str)
        or found.value.strip() in words
    ):
        return ""
    return did_you_mean(found.value, words) or did_you_mean(found.value.lower(), words)


def _left_out(setting: Setting) -> str:
    return f". Leave it out for the default, {setting.default_text}."


def _written(
    setting: Setting,
    value: object,
    kind: Any,
    require: Callable[[object], None] = lambda _: None,
) -> str:
    """Return ``. Write 5.`` where it is plain what was meant, else ``""``."""
    if setting.secret:
        return ""
    for candidate in _near(value):
        try:
            right = typed(candidate, kind, strict=False)
            require(right)
        except ValueError:
            continue
        if right is not None:
            plain = list(right) if isinstance(right, tuple) else right
            return f". Write {quoted(plain, 200)}."
    return ""


def _near(value: object) -> Iterator[object]:
    if isinstance(value, str):
        yield from (value.strip(), value.upper(), value.lower(), [value])
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}"
