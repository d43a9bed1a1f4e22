"""Options of plugins: checked at the call like those of qcore, by what the plugin declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..conf.names import shown
from ..errors import EnqueueError
from ..features import TaskOption
from ..runtime import current


def names() -> Mapping[str, TaskOption]:
    """Return the options that installed plugins add to tasks, by their names."""
    return current.registry.features.options


def read(option: TaskOption, value: Any) -> Any:
    """Return what a plugin makes of the value of its option: plain data, which travels.

    Raises:
        EnqueueError: the plugin refuses the value, or returns what JSON does not have.
    """
    owner = current.registry.features.owners[option.name]
    try:
        found = option.read(value)
    except EnqueueError:
        raise
    except ValueError as wrong:
        raise EnqueueError(
            f"option {option.name!r} is {shown(value)}, expected {wrong}."
        ) from None
    except Exception as error:
        raise EnqueueError(
            f"option {option.name!r} cannot be read by the plugin {owner!r}:"
            f" {type(error).__name__}: {error}"
        ) from error
    try:
        return msgspec.json.decode(msgspec.json.encode(found))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise EnqueueError(
            f"option {option.name!r}: the plugin {owner!r} made"
            f" {type(found).__name__} of it, which is no plain data: {error}"
        ) from error


def chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of checked options that are a plugin's."""
    known = names()
    return {name: value for name, value in options.items() if name in known}
