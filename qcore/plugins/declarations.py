"""Declarations: the settings and the providers that a plugin says it has.

What is read here is a stranger's. It is refused with the name of the plugin and of the hook,
before any of it is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..conf.setting import Setting
from ..errors import PluginBroken, PluginConflict
from .kinds import KINDS
from .provider import Plugin, Provider


def settings_of(
    module: object, plugin: Plugin, registered: Mapping[str, tuple[Setting, Plugin]]
) -> list[Setting]:
    """Return the settings that a plugin declares.

    Args:
        module: has its hooks.
        plugin: whose they are, for messages.
        registered: the settings of the plugins before it, by name.

    Raises:
        PluginBroken: one is no setting, or is a setting of qcore itself.
        PluginConflict: another plugin declares it, too.
    """
    implementation = getattr(module, "qcore_settings", None)
    settings = list(implementation()) if implementation is not None else []
    taken = dict(registered)
    for setting in settings:
        where = f"{plugin.label}: qcore_settings()"
        if not isinstance(setting, Setting):
            raise PluginBroken(
                f"{where} must return qcore.Setting objects, got"
                f" {type(setting).__name__}"
            )
        _refuse_key(setting.name, where, "declares")
        if setting.name in taken:
            raise PluginConflict(
                f"Q_CLUSTER[{setting.name!r}] is declared by both"
                f" {taken[setting.name][1].label} and {plugin.label}."
                " Uninstall one of them, or name the others in QCORE_PLUGINS."
            )
        taken[setting.name] = (setting, plugin)
    return settings


def providers_of(
    module: object,
    kind: str,
    plugin: Plugin,
    registered: Mapping[str, tuple[Provider, Plugin]],
) -> list[Provider]:
    """Return what a plugin provides of a kind.

    Args:
        module: has its hooks.
        kind: a key of ``KINDS``.
        plugin: whose they are, for messages.
        registered: the providers of that kind of the plugins before it, by name.

    Raises:
        PluginBroken: one is no provider, or claims a setting of qcore itself.
        PluginConflict: another plugin has its name, or one of its claims.
    """
    hook = KINDS[kind].hook
    implementation = getattr(module, hook, None)
    if implementation is None:
        return []
    providers = list(implementation())
    before = dict(registered)
    for provider in providers:
        _refuse_malformed(provider, f"{plugin.label}: {hook}()")
        for claim in provider.claims:
            _refuse_key(claim, f"{plugin.label}: {hook}()", "claims")
        if provider.name in before:
            raise PluginConflict(
                f"the {kind} {provider.name!r} is provided by both"
                f" {before[provider.name][1].label} and {plugin.label}."
                " Uninstall one of them, or name the others in QCORE_PLUGINS."
            )
        for other, owner in before.values():
            if both := set(other.claims) & set(provider.claims):
                raise PluginConflict(
                    f"Q_CLUSTER[{min(both)!r}] is claimed by both {owner.label} and"
                    f" {plugin.label}. Uninstall one of them."
                )
        before[provider.name] = (provider, plugin)
    return providers


def _refuse_key(key: str, where: str, verb: str) -> None:
    """Raise PluginBroken for a key of Q_CLUSTER that means something already."""
    from ..conf import fields

    outer, _, inner = key.partition(".")
    own = {setting.name for setting in fields()}
    if inner and outer != "error_reporter" and verb == "declares":
        raise PluginBroken(
            f"{where} {verb} {key!r}: a dot is allowed only after 'error_reporter'."
            " Describe the keys of a dict with Setting(..., keys=(...))"
        )
    if (not inner and outer in own) or (inner and outer in own - {"error_reporter"}):
        raise PluginBroken(
            f"{where} {verb} Q_CLUSTER[{outer!r}], which is a setting of qcore itself."
            " Choose another key"
        )


def _refuse_malformed(provider: object, where: str) -> None:
    """Raise PluginBroken for what no message and no setting could name."""
    if not isinstance(provider, Provider):
        raise PluginBroken(
            f"{where} must return qcore.Provider objects, got {type(provider).__name__}"
        )
    name: object = provider.name
    claims: Any = provider.claims
    if not isinstance(name, str) or not name or "." in name:
        raise PluginBroken(
            f"{where}: the name of a provider must be a text without dots, got {name!r}"
        )
    if isinstance(claims, str) or not all(isinstance(one, str) for one in claims):
        raise PluginBroken(
            f"{where}: the claims of {name!r} must be a tuple of keys of Q_CLUSTER, got"
            f" {claims!r}. Write claims=({name!r},)"
        )
    module, colon, attribute = str(provider.target).partition(":")
    if not (module and colon and attribute):
        raise PluginBroken(
            f"{where}: the target of {name!r} must be 'module:Class', got"
            f" {provider.target!r}"
        )
