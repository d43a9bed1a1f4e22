"""Choice: which broker, cache backend, scheduler and result store a project selects.

One way for all kinds, and for everybody's plugins:

1. the key of the kind (``broker_class``, ``cache_backend``, ``scheduler_class``,
   ``result_store``) names one, by the dotted path of a class or the name of a provider;
2. else the provider that claims a key of ``Q_CLUSTER`` which the project has set;
3. else the documented default.

Error reporters are many at a time: ``error_reporter`` names those of a project.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import (
    INTERRUPTS,
    ConfigError,
    PluginBroken,
    PluginConflict,
    PluginMissing,
    QcoreError,
    did_you_mean,
    sentence,
)
from .kinds import KINDS, Kind
from .known import BROKERS, DEFAULT_BROKER, FIRST_BROKER, KNOWN, how_to_install
from .provider import Provider

if TYPE_CHECKING:
    from ..conf import Conf
    from .registry import Registry

_EXAMPLES = {"broker": "myapp.broker.CustomBroker"}


class Choice(msgspec.Struct, frozen=True):
    """What a project gets of one kind."""

    registry: Registry
    kind: Kind
    name: str
    """Of the provider, or the dotted path of a class."""
    because: str
    """The key of Q_CLUSTER that selects it; empty where it is the default."""

    @property
    def is_default(self) -> bool:
        """Whether the settings select nothing of this kind."""
        return not self.because

    @property
    def owner(self) -> str:
        """The name of the plugin that provides it; empty for the class of a path."""
        if self.is_path:
            return ""
        return self.registry.owner(self.kind.name, self.name).name

    @property
    def is_path(self) -> bool:
        """Whether the project names a class instead of a provider."""
        return "." in self.name

    @property
    def label(self) -> str:
        """The name with the distribution, for people: ``"sqs of qcore-sqs 2.0.0"``."""
        if self.is_path:
            return self.name
        return f"{self.name} of {self.registry.owner(self.kind.name, self.name).label}"

    @property
    def doubt(self) -> str:
        """What to say of a default that others could have been; empty where nothing is.

        Where no broker is selected, tasks go to Redis at localhost, as documented.
        """
        others = self.registry.provided_by_plugins(self.kind.name)
        if self.kind.name != "broker" or not self.is_default or len(others) < 2:
            return ""
        key, value = FIRST_BROKER
        return (
            f"Q_CLUSTER selects no broker, and several are installed"
            f" ({', '.join(sorted(others))}): tasks go to {self.name} with its default"
            f" settings. Say which one is meant: {self.name!r}: {{}} in Q_CLUSTER, or"
            f" another one's setting, like {key!r}: {value!r}."
        )

    def load(self) -> Any:
        """Import the class and return it.

        Raises:
            ConfigError: the dotted path leads to none.
            PluginBroken: that of the provider does not.
        """
        if self.is_path:
            return _imported(self.kind, self.name)
        return self.registry.load(self.kind.name, self.name)

    def make(self, conf: Conf, *arguments: Any) -> Any:
        """Make one with these settings.

        Raises:
            QcoreError: see `load`, and what the class raises of our own.
            PluginBroken: the class raised anything else.
        """
        made = self.load()
        try:
            return made(conf, *arguments)
        except (QcoreError, *INTERRUPTS):
            raise
        except BaseException as error:
            raise PluginBroken(
                f"the {self.kind.name} {self.label} cannot be made:"
                f" {type(error).__name__}: {error}"
            ) from error


def choose(registry: Registry, conf: Conf, kind: str) -> Choice:
    """Return what the settings select of a kind; nothing is imported for it.

    Args:
        registry: the installed plugins.
        conf: the settings.
        kind: ``"broker"``, ``"cache backend"``, ``"scheduler"`` or ``"result store"``.

    Raises:
        ConfigError: the key of the kind has neither a dotted path nor a name.
        PluginConflict: the settings select two.
        PluginMissing: what they select is not installed, or nothing usable is.
        PluginBroken: what would be chosen is broken.
    """
    of = KINDS[kind]
    named = getattr(conf, of.key) if of.key else None
    if named is not None:
        return Choice(registry, of, _named(registry, of, named), str(of.key))
    claimed, because = _claimed(registry, conf, of)
    name = claimed or of.default or _default_broker(registry)
    return Choice(registry, of, name, because)


def never_selected(kind: str, provider: Provider) -> str | None:
    """Return why no settings can select a provider; None where some can."""
    of = KINDS[kind]
    if kind == "error reporter":
        key = f"error_reporter.{provider.name}"
        strange = [claim for claim in provider.claims if claim != key]
        if strange:
            return (
                f"it claims {strange[0]!r}, and reporters are selected by their names"
                f" in 'error_reporter'. Write claims=({key!r},)"
            )
    elif not provider.claims and not of.takes_names:
        return (
            f"it claims no key of Q_CLUSTER, and nothing else can select a {kind}."
            f" Write claims=({provider.name.replace('-', '_')!r},)"
        )
    return None


# -- by the key of the kind ---------------------------------------------------------
def _named(registry: Registry, kind: Kind, name: str) -> str:
    installed = registry.providers(kind.name)
    if "." in name or (kind.takes_names and name in installed):
        return name
    if not kind.takes_names:
        raise ConfigError(
            f"Q_CLUSTER[{kind.key!r}] is {name!r}, which is not a subclass of"
            f" {kind.public_base}. Expected the dotted path of a class, like"
            f" {_example(kind)!r}."
        )
    if plugin := registry.broken(name):
        raise PluginMissing(
            f"Q_CLUSTER[{kind.key!r}] is {name!r}, but its plugin {plugin.label} is"
            f" broken: {plugin.error}"
        )
    told = sentence(
        f"Q_CLUSTER[{kind.key!r}] is {name!r}, and no {kind.name} of that name is"
        f" installed (installed: {', '.join(sorted(installed))})"
        f"{did_you_mean(name, installed)}"
    )
    raise PluginMissing(
        f"{told} Expected one of these names, or the dotted path of a class, like"
        f" {_example(kind)!r}."
    )


def _imported(kind: Kind, path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name) if module else None
    except INTERRUPTS:
        raise
    except BaseException as error:
        # what a module of the project raises on import may be anything
        reason = (
            str(error)
            if isinstance(error, ImportError | AttributeError)
            else f"{type(error).__name__}: {error}"
        )
        raise ConfigError(
            f"Q_CLUSTER[{kind.key!r}] is {path!r}, which cannot be imported: {reason}."
            f" Expected the dotted path of a class, like {_example(kind)!r}."
        ) from error
    if refusal := kind.refuse(found):
        raise ConfigError(f"Q_CLUSTER[{kind.key!r}] is {path!r}, which {refusal}.")
    return found


def _example(kind: Kind) -> str:
    base = kind.public_base.rpartition(".")[2]
    return _EXAMPLES.get(kind.name, f"myapp.plugins.Custom{base}")


# -- by a claim -----------------------------------------------------------------------
def _claimed(registry: Registry, conf: Conf, kind: Kind) -> tuple[str, str]:
    """Return the provider whose claim the project has set, and that claim; or nothing."""
    installed = registry.providers(kind.name)
    selecting = {
        name: claims
        for name, provider in sorted(installed.items())
        if (claims := [claim for claim in provider.claims if conf.selects(claim)])
    }
    if len(selecting) > 1:
        told = ", ".join(
            f"{name} of {registry.owner(kind.name, name).label} with"
            f" {' and '.join(map(repr, claims))}"
            for name, claims in selecting.items()
        )
        other = f", or name one with {kind.key!r}" if kind.takes_names else ""
        raise PluginConflict(
            f"Q_CLUSTER selects {len(selecting)} {kind.name}s: {told}. Keep one of"
            f" these settings{other}."
        )
    if kind.name == "broker":
        _refuse_absent(registry, conf, installed)
    _refuse_broken(registry, conf)
    for name, claims in selecting.items():
        return name, claims[0]
    return "", ""


def _refuse_absent(
    registry: Registry, conf: Conf, installed: dict[str, Provider]
) -> None:
    """Raise PluginMissing for a setting of a first-party broker that is not there."""
    for name in BROKERS:
        for key in KNOWN[name]:
            if name not in installed and conf.selects(key):
                raise _not_installed(registry, name, key)


def _refuse_broken(registry: Registry, conf: Conf) -> None:
    """Raise PluginMissing for the setting of a stranger's plugin that is broken.

    Which kinds it would provide is not known; a default must not stand in for it.
    """
    for plugin in registry.plugins:
        strange = plugin.error and plugin.name not in KNOWN
        if strange and conf.selects(plugin.key):
            raise _not_installed(registry, plugin.name, plugin.key)


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


# -- by default -------------------------------------------------------------------------
def _default_broker(registry: Registry) -> str:
    """Redis where it is installed, as documented; else the only one there is."""
    candidates = registry.provided_by_plugins("broker")
    if DEFAULT_BROKER in candidates:
        return DEFAULT_BROKER
    # a broken default must not send tasks to whatever else is installed
    for plugin in registry.plugins:
        if plugin.error and (plugin.name == DEFAULT_BROKER or not candidates):
            raise PluginBroken(
                f"Q_CLUSTER selects no broker, and the plugin {plugin.label} is"
                f" broken: {plugin.error}"
            )
    if len(candidates) == 1:
        return candidates[0]
    key, value = FIRST_BROKER
    if candidates:
        raise PluginConflict(
            f"several brokers are installed ({', '.join(sorted(candidates))}) and"
            f" Q_CLUSTER selects none. Add its setting, for example {key!r}: {value!r}."
        )
    raise PluginMissing(
        f"no broker is installed. Choose one of: {', '.join(BROKERS)}. To begin with,"
        f" set Q_CLUSTER[{key!r}] = {value!r}, and add 'qcore_{key}' to INSTALLED_APPS."
        f" {how_to_install(key)}"
    )
