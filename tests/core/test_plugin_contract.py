"""The contract of plugins catches what it is for: each fault, and the test that finds it."""

from __future__ import annotations

from typing import Any

import pytest
from support.fake_plugins import FakePlugins, provide

from qcore import Provider, Setting, hookimpl
from qcore.plugins import Registry
from qcore.testing import PluginContract

STORE = "qcore.results.memory:MemoryStore"


class OfTheTest(PluginContract):
    name = "acme"


def declare(*settings: Setting) -> dict[str, Any]:
    @hookimpl
    def qcore_settings() -> list[Setting]:
        return list(settings)

    return {"qcore_settings": qcore_settings}


SOUND = {
    **provide("result store", Provider("acme", STORE, ("acme",))),
    **declare(Setting("acme", dict | None, "Where it is.")),
}


def asked(
    monkeypatch: pytest.MonkeyPatch, test: str, hooks: dict[str, Any], kind: str
) -> None:
    """Ask one test of the contract of a plugin with these hooks."""
    fakes = FakePlugins(monkeypatch)
    fakes.add("acme", **hooks)
    registry = Registry(only=["acme"])
    found = registry.plugins[-1].providers.get(kind, [])
    getattr(OfTheTest(), test)([(kind, one) for one in found], registry)


@pytest.mark.parametrize(
    "test", ["test_each_provider_can_be_selected", "test_settings_are_described"]
)
def test_a_sound_plugin_passes(monkeypatch: pytest.MonkeyPatch, test: str) -> None:
    asked(monkeypatch, test, SOUND, "result store")


@pytest.mark.parametrize(
    ("test", "kind", "hooks", "words"),
    [
        (
            "test_each_provider_can_be_selected",
            "broker",
            provide("broker", Provider("acme", "qcore.brokers.memory:MemoryBroker")),
            "it claims no key of Q_CLUSTER",
        ),
        (
            "test_each_provider_can_be_selected",
            "error reporter",
            provide("error reporter", Provider("acme", "a:B", ("acme",))),
            "selected by their names",
        ),
        (
            "test_settings_are_described",
            "result store",
            provide("result store", Provider("acme", STORE, ("acme",))),
            "qcore_settings does not declare ['acme']",
        ),
        (
            "test_settings_are_described",
            "result store",
            SOUND | declare(Setting("acme", dict | None, " ")),
            "acme has no help",
        ),
        (
            "test_settings_are_described",
            "result store",
            SOUND
            | declare(
                Setting("acme", dict, "A.", keys=(Setting("port", int | None, ""),))
            ),
            "port has no help",
        ),
    ],
    ids=["no claim", "another key", "undeclared", "no help", "no help inside"],
)
def test_a_fault_is_caught(
    monkeypatch: pytest.MonkeyPatch,
    test: str,
    kind: str,
    hooks: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(AssertionError) as raised:
        asked(monkeypatch, test, hooks, kind)
    assert words in str(raised.value)
