"""The registry: how plugins are found, and what each of them can make.

Loading is guarded: every entry point is imported alone, and one that is broken is
kept with its error instead of taking the rest down. Built-ins come in by the same
door as strangers: ``qcore.plugins.builtin`` is a plugin like any other.

Environment:
    QCORE_PLUGINS: comma-separated entry-point names; only these are loaded.
    QCORE_TRACE_HOOKS: when set to 1, every hook call is written to stderr.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from .. import hookspecs
from ..conf.setting import Setting
from ..errors import INTERRUPTS, PluginBroken, PluginMissing, did_you_mean
from .declarations import providers_of, settings_of
from .features import FeaturePlugins
from .kinds import KINDS
from .known import KEYS, KNOWN, how_to_install
from .provider import Plugin, Provider

if TYPE_CHECKING:
    from django.apps import AppConfig

logger = logging.getLogger("qcore.plugins")

GROUP = "qcore"
BUILTIN = "qcore.plugins.builtin"


class Registry:
    """The plugins of this process and everything they provide."""

    def __init__(self, only: Iterable[str] | None = None) -> None:
        self._pm = pluggy.PluginManager(hookspecs.PROJECT)
        self._pm.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self._providers: dict[str, dict[str, tuple[Provider, Plugin]]] = {
            kind: {} for kind in KINDS
        }
        self._settings: dict[str, tuple[Setting, Plugin]] = {}
        #: The plugins that decide about tasks.
        self.features = FeaturePlugins()
        self._is_traced = os.environ.get("QCORE_TRACE_HOOKS") == "1"
        if self._is_traced:
            self._pm.trace.root.setwriter(sys.stderr.write)
            self._pm.enable_tracing()
        self._load(set(only) if only is not None else _wanted())

    # -- loading -------------------------------------------------------------
    def _load(self, only: set[str] | None) -> None:
        builtin = EntryPoint(name="builtin", value=BUILTIN, group=GROUP)
        self._admit(builtin)
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            if only is None or point.name in only:
                self._admit(point)
        self._admit_legacy(only)

    def _admit_legacy(self, only: set[str] | None) -> None:
        """Add the reporters made for django-q, where nothing of ours has the name."""
        from ..reporters import legacy

        taken = self._providers[legacy.KIND]
        for plugin in legacy.installed():
            if plugin.name in taken or (only is not None and plugin.name not in only):
                continue
            self.plugins.append(plugin)
            for provider in plugin.providers[legacy.KIND]:
                taken[provider.name] = (provider, plugin)

    def _admit(self, point: EntryPoint) -> None:
        """Load one entry point; keep its error where it has one."""
        plugin = Plugin(point.name, *_origin(point), module=point.value)
        self.plugins.append(plugin)
        try:
            self.register(point.load(), plugin)
        except INTERRUPTS:
            raise
        except BaseException as error:  # noqa: BLE001
            # whatever a plugin raises on import is its own affair
            plugin.error = f"{type(error).__name__}: {error}"
            logger.warning("plugin %s is broken: %s", plugin.label, plugin.error)

    def register(self, module: ModuleType | object, plugin: Plugin) -> None:
        """Add the hooks and providers of one plugin; all of them or none.

        Raises:
            PluginConflict: a name or a claim that another plugin has already.
            PluginBroken: a hook with a wrong signature, or a provider that is none.
        """
        try:
            self._pm.register(module, name=f"{plugin.distribution}:{plugin.name}")
        except (pluggy.PluginValidationError, ValueError) as error:
            invalid = isinstance(error, pluggy.PluginValidationError)
            if invalid and self._pm.is_registered(module):
                # pluggy 1.5 keeps the hooks that it added before the wrong one
                self._pm.unregister(module)
            raise PluginBroken(f"{plugin.label}: {error}") from error
        try:
            self._refuse_unknown_hooks(module, plugin)
            found = {
                kind: providers_of(module, kind, plugin, self._providers[kind])
                for kind in KINDS
            }
            settings = settings_of(module, plugin, self._settings)
            options = self.features.read_options(module, plugin.label)
        except Exception:
            self._pm.unregister(module)
            raise
        if not any(known is plugin for known in self.plugins):
            self.plugins.append(plugin)  # registered by hand
        plugin.settings, plugin.options = settings, options
        self.features.add(plugin.name, module, options, self._pm)
        for setting in settings:
            self._settings[setting.name] = (setting, plugin)
        for kind, providers in found.items():
            if providers:
                plugin.providers[kind] = providers
            for provider in providers:
                self._providers[kind][provider.name] = (provider, plugin)

    def _refuse_unknown_hooks(self, module: object, plugin: Plugin) -> None:
        """pluggy takes a hook of any name, and would never call a misspelt one."""
        for caller in self._pm.get_hookcallers(module) or ():
            if not caller.has_spec():
                specs = [name for name in vars(hookspecs) if name.startswith("qcore_")]
                raise PluginBroken(
                    f"{plugin.label}: unknown hook {caller.name!r}"
                    f"{did_you_mean(caller.name, specs)}"
                )

    # -- looking up ------------------------------------------------------------
    @property
    def hook(self) -> Any:
        """pluggy's relay: ``registry.hook.qcore_checks(conf=...)``."""
        return self._pm.hook

    def providers(self, kind: str) -> dict[str, Provider]:
        """Return what is installed of a kind, by name."""
        return {name: pair[0] for name, pair in self._providers[kind].items()}

    def provided_by_plugins(self, kind: str) -> list[str]:
        """Return the names of a kind that did not come with the core."""
        return [
            name
            for name, (_, plugin) in self._providers[kind].items()
            if plugin.module != BUILTIN
        ]

    def owner(self, kind: str, name: str) -> Plugin:
        """Return the plugin that provides ``name``, which is installed."""
        return self._providers[kind][name][1]

    def settings(self) -> tuple[Setting, ...]:
        """Return the settings that installed plugins declare."""
        return tuple(setting for setting, _ in self._settings.values())

    def adapt(self, options: object) -> object:
        """Return ``Q_CLUSTER`` as plugins translate it; see ``qcore_adapt_settings``."""
        if not isinstance(options, Mapping):
            return options  # the validation says what is wrong with it
        hooks = self._pm.hook.qcore_adapt_settings.get_hookimpls()
        for hook in hooks:
            arguments = {"options": options, "known": self._keys()}
            try:
                adapted = _call(hook, arguments)
            except INTERRUPTS:
                raise
            except BaseException:
                logger.exception(
                    "plugin %s failed in qcore_adapt_settings", hook.plugin_name
                )
            else:
                options = options if adapted is None else adapted
        return options

    def _keys(self) -> frozenset[str]:
        """Return every key that may stand at the top of Q_CLUSTER."""
        from ..conf import fields

        names = {setting.name for setting in (*fields(), *self.settings())}
        claims = {claim.partition(".")[0] for claim in self.claims()}
        return frozenset(name for name in names if "." not in name) | claims | KEYS

    def claims(self) -> frozenset[str]:
        """Return every key of Q_CLUSTER that some installed plugin claims.

        Of a broken plugin that is not known; its name stands for them.
        """
        broken = {plugin.key for plugin in self.plugins if plugin.error}
        return frozenset(broken) | frozenset(
            claim
            for pairs in self._providers.values()
            for provider, _ in pairs.values()
            for claim in provider.claims
        )

    def load(self, kind: str, name: str) -> Any:
        """Return the class that provides ``name``.

        Raises:
            PluginMissing: nothing installed provides it.
            PluginBroken: its target cannot be imported, or is nothing of that kind.
        """
        pair = self._providers[kind].get(name)
        if pair is None:
            raise self._missing(kind, name)
        provider, plugin = pair
        found = provider.load()
        if reason := KINDS[kind].refuse(found):
            raise PluginBroken(
                f"the {kind} {name!r} of {plugin.label} is {provider.target!r}, which"
                f" {reason}"
            )
        return found

    def _missing(self, kind: str, name: str) -> PluginMissing:
        installed = ", ".join(sorted(self._providers[kind])) or "none"
        if plugin := self.broken(name):
            return PluginMissing(
                f"the {kind} {name!r} is installed ({plugin.label}) but broken:"
                f" {plugin.error}"
            )
        if name in KNOWN:
            advice = how_to_install(name)
        else:
            near = did_you_mean(name, self._providers[kind])
            advice = f"See `qcore plugins`{near}"
        return PluginMissing(f"no {kind} {name!r} is installed ({installed}). {advice}")

    def app_of(self, name: str) -> AppConfig | None:
        """Return the Django app that the plugin of an entry-point name is, as a whole.

        None: it is none, is only a part of one, or is not in INSTALLED_APPS.
        """
        from django.apps import apps

        for plugin in self.plugins:
            if plugin.name == name:
                app = apps.get_containing_app_config(plugin.module)
                if app is not None and app.name == plugin.module:
                    return app
        return None

    def broken(self, name: str) -> Plugin | None:
        """Return the plugin of an entry-point name, if it is installed and broken."""
        for plugin in self.plugins:
            if plugin.name == name and plugin.error:
                return plugin
        return None

    def first(self, hook: str, **arguments: Any) -> Any:
        """Return what pluggy does for a hook of which the first result counts.

        Nearly always the built-in implementation is the only one. Then it is called as
        it is; by way of pluggy, that took as many instructions as half of a short task.
        """
        caller = getattr(self._pm.hook, hook)
        implementations = caller.get_hookimpls()
        if len(implementations) != 1 or self._is_traced:
            return caller(**arguments)
        return _call(implementations[0], arguments)

    # -- observers -------------------------------------------------------------
    def notify(self, hook: str, **arguments: Any) -> None:
        """Call every implementation of an observer hook, each one guarded.

        pluggy itself stops at the first exception; an observer must not be able to
        silence the others, nor end a process with ``sys.exit``. A timeout of the task
        that runs here, or its end, is no error of the observer.
        """
        caller = getattr(self._pm.hook, hook)
        for implementation in caller.get_hookimpls():
            try:
                _call(implementation, arguments)
            except INTERRUPTS:
                raise
            except BaseException:
                logger.exception(
                    "plugin %s failed in %s", implementation.plugin_name, hook
                )

    def collect(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Return what the implementations of a hook return, each with its plugin's name.

        Each one is guarded: what fails is logged and left out.
        """
        found = []
        for implementation in getattr(self._pm.hook, hook).get_hookimpls():
            name = implementation.plugin_name
            try:
                found.append((name, _call(implementation, arguments)))
            except INTERRUPTS:
                raise
            except BaseException:
                logger.exception("plugin %s failed in %s", name, hook)
        return found

    def observed(self, hook: str) -> bool:
        """Whether anybody implements a hook; lets callers skip building its arguments."""
        return bool(getattr(self._pm.hook, hook).get_hookimpls())


def _call(implementation: pluggy.HookImpl, arguments: dict[str, Any]) -> Any:
    """Call an implementation with those of the arguments that it takes."""
    return implementation.function(*[arguments[n] for n in implementation.argnames])


def _wanted() -> set[str] | None:
    names = os.environ.get("QCORE_PLUGINS")
    return None if names is None else {name.strip() for name in names.split(",")}


def _origin(point: EntryPoint) -> tuple[str, str]:
    """Return distribution and version of an entry point."""
    if point.dist is None:
        from .. import __version__

        return "qcore", __version__
    return point.dist.name, point.dist.version
