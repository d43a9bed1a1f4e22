"""References: nodes among the arguments of a node, and the results in their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .nodes import Node

#: Where in the arguments: "args" or "kwargs", then keys and indexes.
Path = list[Any]


def take_out(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any], list[tuple[Node, Path]]]:
    """Return arguments with None in the places of nodes, and the nodes with their paths.

    Nodes are found in lists, tuples and the values of dictionaries, also in one another.
    """
    found: list[tuple[Node, Path]] = []
    plain: list[Any] = _without(list(args), ["args"], found)
    keywords: dict[str, Any] = _without(dict(kwargs), ["kwargs"], found)
    return plain, keywords, found


def _without(value: Any, path: Path, found: list[tuple[Node, Path]]) -> Any:
    if isinstance(value, Node):
        found.append((value, path))
        return None
    if type(value) in (list, tuple):
        parts = [_without(part, [*path, n], found) for n, part in enumerate(value)]
        return parts if type(value) is list else tuple(parts)
    if type(value) is dict:
        return {
            key: _without(part, [*path, key], found) if isinstance(key, str) else part
            for key, part in value.items()
        }
    return value


def fill(
    args: Sequence[Any], kwargs: Mapping[str, Any], values: Sequence[tuple[Path, Any]]
) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments with values in their places."""
    tree: dict[Any, Any] = {}
    for path, value in values:
        *way, last = path
        branch = tree
        for key in way:
            branch = branch.setdefault(key, {})
        branch[last] = _Value(value)
    return (
        _filled(list(args), tree.get("args", {})),
        _filled(dict(kwargs), tree.get("kwargs", {})),
    )


class _Value:
    """A value, told apart from a branch that is a dictionary, too."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _filled(whole: Any, tree: Mapping[Any, Any]) -> Any:
    """Return a list, tuple or dictionary with values in their places."""
    parts = list(whole) if isinstance(whole, tuple) else whole
    for key, branch in tree.items():
        parts[key] = (
            branch.value if isinstance(branch, _Value) else _filled(parts[key], branch)
        )
    return tuple(parts) if isinstance(whole, tuple) else parts
