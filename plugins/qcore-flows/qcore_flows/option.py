"""The option ``flow``: the batch or graph that a task belongs to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from qcore import Task

#: The option, and the name of the plugin that tasks need.
OPTION, PLUGIN = "flow", "flows"
#: Header of a callback: the flow whose end it is called for.
HEADER = "qcore-flow"
#: Header of a task that is sent again in place of another one: the id of that one.
RESENT = "resent_from"

_ID = re.compile(r"[0-9a-f]{32}")
_EXPECTED = "a qcore_flows.Batch, or its id: 32 hexadecimal digits"


class Membership(NamedTuple):
    """What a task says of its flow."""

    flow_id: str
    takes: bool = False
    """Whether its arguments have results of other members."""
    gives: bool = False
    """Whether others take its result."""


def read_flow(value: Any) -> dict[str, Any] | None:
    """Return the option as plain data; None where it says nothing.

    Raises:
        ValueError: with what was expected.
    """
    if value is None or value is False:
        return None
    if isinstance(value, Mapping):
        try:
            found = Membership(**value)
        except TypeError:
            raise ValueError(_EXPECTED) from None
    else:
        found = Membership(value if isinstance(value, str) else _id_of(value))
    if not is_id(found.flow_id):
        raise ValueError(_EXPECTED)
    return {
        "flow_id": found.flow_id,
        **{name: True for name in ("takes", "gives") if getattr(found, name) is True},
    }


class HasId:
    """What stands for a flow where an option asks for one: a batch or a graph."""

    id: str


def is_id(value: object) -> bool:
    """Whether something is the id of a flow or a task."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _id_of(value: object) -> str:
    if isinstance(value, HasId):
        return value.id
    raise ValueError(_EXPECTED)


def membership(task: Task) -> Membership | None:
    """Return what a task says of its flow; None: it belongs to none."""
    found = task.options.plugins
    if not found or OPTION not in found:
        return None
    return Membership(**found[OPTION])


def giving(task: Task) -> Task:
    """Return a task that says that others take its result."""
    of_plugins = dict(task.options.plugins or {})
    of_plugins[OPTION] = {**of_plugins[OPTION], "gives": True}
    options = msgspec.structs.replace(task.options, plugins=of_plugins)
    return msgspec.structs.replace(task, options=options)


def derived_id(parent: str, name: str) -> str:
    """Return the id of what follows from something: the same however often it is asked."""
    return hashlib.blake2b(f"{parent} {name}".encode(), digest_size=16).hexdigest()
