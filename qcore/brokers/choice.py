"""Choice: which broker the settings of a project select."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import ConfigError, PluginBroken, PluginConflict, PluginMissing
from ..known import BROKERS, KNOWN, how_to_install
from .base import Broker

if TYPE_CHECKING:
    from ..conf import Conf
    from ..plugins import Registry


def broker_class(registry: Registry, conf: Conf) -> type[Broker]:
    """Return the broker class of a project: ``broker_class`` wins, else the plugin.

    Raises:
        ConfigError: ``broker_class`` is not a broker.
        PluginError: see ``broker_name``.
    """
    if conf.broker_class is not None:
        return _import_broker(conf.broker_class)
    chosen: type[Broker] = registry.load("broker", broker_name(registry, conf))
    return chosen


def broker_name(registry: Registry, conf: Conf) -> str:
    """Return the name of the provider that the settings select.

    Raises:
        PluginConflict: the settings select two brokers.
        PluginMissing: what they select is not installed, or nothing usable is.
        PluginBroken: what would be chosen is broken.
    """
    installed = registry.providers("broker")
    selecting = {
        name: [claim for claim in provider.claims if conf.selects(claim)]
        for name, provider in sorted(installed.items())
    }
    chosen = [name for name, claims in selecting.items() if claims]
    if len(chosen) > 1:
        keys = ", ".join(repr(claim) for name in chosen for claim in selecting[name])
        raise PluginConflict(
            f"Q_CLUSTER selects {len(chosen)} brokers ({', '.join(chosen)})"
            f" with {keys}. Keep one of these settings."
        )
    for name in BROKERS:
        for key in KNOWN[name]:
            if name not in installed and conf.selects(key):
                raise _not_installed(registry, name, key)
    return chosen[0] if chosen else _default(registry)


def _not_installed(registry: Registry, name: str, key: str) -> PluginMissing:
    if plugin := registry.broken(name):
        return PluginMissing(
            f"Q_CLUSTER has {key!r}, but its plugin {plugin.label} is broken:"
            f" {plugin.error}"
        )
    installed = ", ".join(sorted(registry.providers("broker")))
    return PluginMissing(
        f"Q_CLUSTER has {key!r} but no installed plugin provides it"
        f" (installed: {installed}). {how_to_install(name)}"
    )


def _default(registry: Registry) -> str:
    """Redis where it is installed, as documented; else the only one there is."""
    candidates = registry.provided_by_plugins("broker")
    if "redis" in candidates:
        return "redis"
    # a broken default must not send tasks to whatever else is installed
    for plugin in registry.plugins:
        if plugin.error and (plugin.name == "redis" or not candidates):
            raise PluginBroken(
                f"Q_CLUSTER selects no broker, and the plugin {plugin.label} is"
                f" broken: {plugin.error}"
            )
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise PluginConflict(
            f"several brokers are installed ({', '.join(sorted(candidates))}) and"
            " Q_CLUSTER selects none. Add its setting, for example 'orm': 'default'."
        )
    raise PluginMissing(
        'no broker is installed. Run: pip install "qcore[orm]>=2" and set'
        " Q_CLUSTER['orm'] = 'default', or install another of: " + ", ".join(BROKERS)
    )


def _import_broker(path: str) -> type[Broker]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name) if module else None
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"Q_CLUSTER['broker_class'] is {path!r}, which cannot be imported: {error}."
            " Expected the dotted path of a class, like 'myapp.broker.CustomBroker'."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Broker)):
        raise ConfigError(
            f"Q_CLUSTER['broker_class'] is {path!r}, which is not a subclass of"
            " qcore.Broker."
        )
    return found
