"""The contract of a plugin, whatever it provides, as tests that its author inherits.

::

    class TestPlugin(PluginContract):
        name = "sqs"
        drivers = ("boto3", "botocore")
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, requires
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pluggy
import pytest
from packaging.requirements import Requirement

from ... import __version__, hookspecs
from ...conf import Conf
from ...hookspecs import PROJECT
from ...plugins import GROUP, KINDS, Provider, Registry
from ...plugins.choice import choose, never_selected
from ...plugins.known import KNOWN

# Prints the names of the top-level modules that importing a plugin brings in.
IMPORTED = "import json, sys, {0}; print(json.dumps([*sys.modules]))"


class PluginContract:
    """The promises of a plugin to the registry and to its users."""

    #: Name of the entry point, which is that of the extra too.
    name: ClassVar[str]
    #: Modules that importing the plugin must not import; they load on first use.
    drivers: ClassVar[tuple[str, ...]] = ()

    # -- fixtures ------------------------------------------------------------
    @pytest.fixture
    def entry_point(self) -> EntryPoint:
        """The plugin's entry point, as it is installed here."""
        found = entry_points(group=GROUP, name=self.name)
        if not found:
            pytest.fail(
                f"no entry point {self.name!r} in the group {GROUP!r}. Install the"
                " plugin: pip install -e <its folder>"
            )
        (point,) = found
        return point

    @pytest.fixture
    def plugin(self, entry_point: EntryPoint) -> ModuleType:
        """The module of the plugin."""
        module = entry_point.load()
        assert isinstance(module, ModuleType), "the entry point must name a module"
        return module

    @pytest.fixture
    def providers(self, plugin: ModuleType) -> list[tuple[str, Provider]]:
        """Everything the plugin provides, each with its kind."""
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(plugin)
        return [
            (kind.name, provider)
            for kind in KINDS.values()
            for found in getattr(manager.hook, kind.hook)()
            for provider in found
        ]

    @pytest.fixture
    def registry(self) -> Registry:
        """A registry with this plugin, and what comes with the core."""
        return Registry(only=[self.name])

    # -- promises --------------------------------------------------------------
    def test_hooks_are_valid(self, plugin: ModuleType) -> None:
        """Every hook exists, takes only arguments it has, and there is one at least."""
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(plugin)
        manager.check_pending()
        assert manager.get_hookcallers(plugin), "no function is marked with @hookimpl"

    def test_import_is_light(self, entry_point: EntryPoint) -> None:
        """Importing the plugin imports neither its driver nor Django.

        Every process of every project imports every installed plugin.
        """
        code = IMPORTED.format(entry_point.module)
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        imported = set(json.loads(run.stdout))
        assert imported & {"django", *self.drivers} == set()

    def test_drivers_exist(self) -> None:
        """The names in ``drivers`` are modules, so that the test above means something."""
        for driver in self.drivers:
            import_module(driver)

    def test_targets_resolve(self, providers: list[tuple[str, Provider]]) -> None:
        """Each provider leads to a class of its kind, with a docstring."""
        for kind, provider in providers:
            assert isinstance(provider, Provider), f"a {kind} must be a qcore.Provider"
            target = provider.load()
            reason = KINDS[kind].refuse(target)
            assert reason is None, f"{provider.target} {reason}"
            assert "__doc__" in vars(target), f"{provider.target} has no docstring"
            assert target.__doc__

    def test_each_provider_can_be_selected(
        self, providers: list[tuple[str, Provider]], registry: Registry
    ) -> None:
        """Every key that a provider claims selects it, and its name does where names count."""
        for kind, provider in providers:
            reason = never_selected(kind, provider)
            assert reason is None, f"the {kind} {provider.name!r}: {reason}"
            of = KINDS[kind]
            selections = [
                Conf(explicit=frozenset([claim]), options={claim: {}})
                for claim in provider.claims
                if kind != "error reporter"
            ]
            if of.takes_names:
                named: dict[str, Any] = {str(of.key): provider.name}
                selections.append(Conf(**named))
            for conf in selections:
                assert choose(registry, conf, kind).name == provider.name

    def test_settings_are_described(
        self, providers: list[tuple[str, Provider]], registry: Registry
    ) -> None:
        """Every key that it claims is declared by ``qcore_settings``, with its help.

        So a project is told of a wrong type or a misspelt key before anything runs.
        """
        (mine,) = [one for one in registry.plugins if one.name == self.name]
        claims = {claim for _, provider in providers for claim in provider.claims}
        missing = claims - {setting.name for setting in registry.settings()}
        assert not missing, f"qcore_settings does not declare {sorted(missing)}"
        settings = list(mine.settings)
        for setting in settings:
            assert setting.help.strip().endswith("."), f"{setting.name} has no help"
            settings += (*setting.keys, *setting.each)

    def test_docstring(self, plugin: ModuleType) -> None:
        """The module says in its docstring what it brings."""
        assert (plugin.__doc__ or "").strip()

    def test_readme_names_every_setting(
        self, providers: list[tuple[str, Provider]]
    ) -> None:
        """The README beside the tests shows every key of Q_CLUSTER that is claimed."""
        text = self.readme().read_text()
        claims = [claim for _, provider in providers for claim in provider.claims]
        inner = [claim.rpartition(".")[2] for claim in claims]
        shown = set(re.findall(r"""['"](\w+)['"]\s*:""", text))
        assert set(inner) - shown == set()

    def test_version_fits(self, entry_point: EntryPoint) -> None:
        """It requires a major version of qcore; the first-party ones share a number."""
        assert entry_point.dist is not None
        needs = [Requirement(text) for text in requires(entry_point.dist.name) or ()]
        bounds = [need.specifier for need in needs if need.name == PROJECT]
        assert bounds, "it does not require qcore"
        assert all(bound.contains(__version__) for bound in bounds)
        # the public index has a foreign qcore 1.x
        assert not any(bound.contains("1.11.1") for bound in bounds)
        if self.name in KNOWN and entry_point.dist.name == f"{PROJECT}-{self.name}":
            assert entry_point.dist.version == __version__

    def readme(self) -> Path:
        """Return the README, which is one folder above that of the tests."""
        return Path(inspect.getfile(type(self))).parents[1] / "README.md"
