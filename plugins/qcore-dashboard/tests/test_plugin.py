"""The plugin keeps the contract of all plugins."""

from __future__ import annotations

from qcore.testing import PluginContract


class TestPlugin(PluginContract):
    name = "dashboard"
    drivers = ()
