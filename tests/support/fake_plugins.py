"""Plugins that exist for one test: modules with entry points of their own."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from qcore import Conf, Provider, hookimpl
from qcore.plugins import KINDS

if TYPE_CHECKING:
    import pytest

MEMORY = "qcore.brokers.memory:MemoryBroker"


class Distribution:
    """As much of a distribution as an entry point needs."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version


class FakePlugins:
    """Hides the real plugins from the registry and shows it those of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._points: list[EntryPoint] = []
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(
            "qcore.plugins.registry.entry_points", lambda group: self._points
        )
        monkeypatch.delenv("QCORE_PLUGINS", raising=False)

    def add(self, name: str, version: str = "2.0.0", **hooks: Any) -> None:
        """Install a plugin with these hooks."""
        module = types.ModuleType(f"fake_{name}_{len(self._points)}")
        vars(module).update(hooks)
        self._monkeypatch.setitem(sys.modules, module.__name__, module)
        self._point(name, version, module.__name__)

    def add_broker(self, name: str, *claims: str) -> None:
        """Install a plugin with one broker."""
        self.add(name, qcore_brokers=brokers(Provider(name, MEMORY, claims or (name,))))

    def add_broken(self, name: str) -> None:
        """Install a plugin whose module cannot be imported."""
        self._point(name, "2.0.0", "no_such_module_of_a_plugin")

    def _point(self, name: str, version: str, module: str) -> None:
        point = EntryPoint(name, module, "qcore")
        vars(point).update(dist=Distribution(f"qcore-{name}", version))
        self._points.append(point)


def brokers(*providers: Any) -> Callable[[], list[Any]]:
    """Return an implementation of qcore_brokers."""

    @hookimpl
    def qcore_brokers() -> list[Any]:
        return list(providers)

    return qcore_brokers


def conf(**settings: Any) -> Conf:
    """Return settings in which the key ``example`` is claimed, too."""
    return Conf.from_dict(settings, claimed=["example"])


def provide(kind: str, *providers: Any) -> dict[str, Callable[[], list[Any]]]:
    """Return an implementation of the hook for a kind, by its name."""

    def implementation() -> list[Any]:
        return list(providers)

    hook = KINDS[kind].hook
    implementation.__name__ = hook
    return {hook: hookimpl(implementation)}
