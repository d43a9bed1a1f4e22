"""Plugins: how they are found, what each can make, and which of it a project selects.

::

    kinds      the kinds of things that a plugin can make, a line for each
    provider   Provider and Plugin: what is known of one
    registry   Registry: the installed plugins, loaded one by one under guard
    choice     which provider of a kind the settings select
    known      the first-party plugins; no other module of the core names them
    builtin    what comes with the core, by the same hooks

The names below are loaded on first use: the settings read ``known``, and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# public name -> the module of this package that defines it
_PUBLIC = {
    "BUILTIN": "registry",
    "GROUP": "registry",
    "KINDS": "kinds",
    "Kind": "kinds",
    "Plugin": "provider",
    "Provider": "provider",
    "Registry": "registry",
}

__all__ = ["BUILTIN", "GROUP", "KINDS", "Kind", "Plugin", "Provider", "Registry"]

if TYPE_CHECKING:
    from .kinds import KINDS as KINDS
    from .kinds import Kind as Kind
    from .provider import Plugin as Plugin
    from .provider import Provider as Provider
    from .registry import BUILTIN as BUILTIN
    from .registry import GROUP as GROUP
    from .registry import Registry as Registry


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value
