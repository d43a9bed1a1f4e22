"""Feature plugins of one test, in the registry that the product asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.fake_plugins import FakePlugins

from qcore import hookimpl
from qcore.plugins.registry import Registry
from qcore.runtime import current

if TYPE_CHECKING:
    import pytest


class FeaturePluginsOfATest:
    """Installs plugins under the registry of this process, without the real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._fakes = FakePlugins(monkeypatch)
        self._monkeypatch = monkeypatch

    def add(self, name: str, **hooks: Any) -> Registry:
        """Install one more plugin with these hooks, each a plain function."""
        marked = {hook: hookimpl(function) for hook, function in hooks.items()}
        self._fakes.add(name, **marked)
        registry = Registry()
        broken = [plugin.error for plugin in registry.plugins if plugin.error]
        assert not broken
        current.reset()
        self._monkeypatch.setitem(current._made, "registry", registry)
        return registry
