from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fake_plugins import FakePlugins

from qcore import TaskOption, hookimpl
from qcore.brokers.base import CAPABILITIES
from qcore.cli import main
from qcore.plugins import KINDS, Registry
from qcore.plugins.known import KNOWN, command_of


@pytest.fixture(scope="module")
def document(qcore, tmp_path_factory):
    """What ``--json`` says in a folder without a Django project; asked once."""
    done = qcore(tmp_path_factory.mktemp("bare"), "plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def by_name(document):
    return {plugin["name"]: plugin for plugin in document["plugins"]}


def test_the_document_has_its_shape(document):
    assert document["schema"] == "qcore.plugins/1"
    keys = {"name", "distribution", "version", "state", "error", "kinds", "providers"}
    for plugin in document["plugins"]:
        assert set(plugin) == keys | {"install", "settings", "task_options"}
        assert plugin["state"] in {"ok", "broken", "not installed"}
        assert set(plugin["kinds"]) <= set(KINDS)
        for provider in plugin["providers"]:
            wanted = {"kind", "name", "target", "claims", "capabilities", "error"}
            assert set(provider) == wanted


def test_what_comes_with_the_core_works(document):
    builtin = by_name(document)["builtin"]
    assert builtin["state"] == "ok"
    assert set(builtin["kinds"]) == set(KINDS)


def test_brokers_have_all_capabilities_and_others_none(document):
    for plugin in document["plugins"]:
        for provider in plugin["providers"]:
            if provider["kind"] == "broker":
                assert set(provider["capabilities"]) == set(CAPABILITIES)
            else:
                assert provider["capabilities"] is None


def test_known_plugins_that_are_not_installed_have_the_pip_line(document):
    found = by_name(document)
    assert set(KNOWN) <= set(found)
    absent = [p for p in document["plugins"] if p["state"] == "not installed"]
    for plugin in absent:
        assert plugin["install"] == command_of(plugin["name"])


def test_a_plugin_that_is_an_app_loads_without_settings(document):
    pytest.importorskip("qcore_orm")
    orm = by_name(document)["orm"]
    assert orm["state"] == "ok"
    assert orm["providers"][0]["claims"] == ["orm"]


def alone(folder: Path, name: str) -> dict[str, str]:
    """Return the environment in which one plugin of a folder is loaded, and no driver."""
    return {"PYTHONPATH": str(folder), "QCORE_PLUGINS": name}


def install(folder: Path, name: str, source: str) -> None:
    """Put a plugin into a folder as pip would."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n"
    )
    (info / "entry_points.txt").write_text(f"[qcore]\n{name} = {name}\n")


NO_DRIVER = """
from qcore import Provider, hookimpl

@hookimpl
def qcore_brokers():
    return [Provider("nodriver", "nodriver_that_is_not_there:Broker")]
"""


@pytest.mark.fault("J5")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import a_driver_that_is_absent\n",
            "No module named 'a_driver_that_is_absent'",
        ),
        (NO_DRIVER, "No module named 'nodriver_that_is_not_there'"),
    ],
    ids=["on import", "on first use"],
)
def test_a_broken_plugin_is_named_with_its_error(qcore, tmp_path, source, reason):
    install(tmp_path, "brokenone", source)
    env = alone(tmp_path, "brokenone")
    done = qcore(tmp_path, "plugins", "--json", **env)
    assert done.returncode == 3
    plugin = by_name(json.loads(done.stdout))["brokenone"]
    assert plugin["state"] == "broken"
    assert plugin["version"] == "1.2"
    assert reason in plugin["error"]
    shown = qcore(tmp_path, "plugins", **env)
    assert shown.returncode == 3
    assert "brokenone is broken: " in shown.stdout
    assert "builtin" in shown.stdout


@pytest.mark.fault("J5")
def test_only_the_plugins_that_are_asked_for_are_loaded(qcore, tmp_path):
    install(tmp_path, "brokenone", "1 / 0\n")
    env = {"PYTHONPATH": str(tmp_path), "QCORE_PLUGINS": "orm"}
    done = qcore(tmp_path, "plugins", "--json", **env)
    assert done.returncode == 0
    assert "brokenone" not in by_name(json.loads(done.stdout))


def test_the_table_lines_up(capsys):
    assert main(["plugins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heading = lines[0]
    assert heading.split() == ["PLUGIN", "DISTRIBUTION", "STATE", "GIVES"]
    gives = heading.index("GIVES")
    table = lines[1 : lines.index("")]
    assert all(line[gives - 1] == " " and line[gives] != " " for line in table)
    capabilities = lines[lines.index("") + 1 :]
    if "" in capabilities:  # then comes what the project selects
        capabilities = capabilities[: capabilities.index("")]
    assert [line.split()[0] for line in capabilities[1:]] == list(CAPABILITIES)


# -- what can be selected, and what is ----------------------------------------------
CLAIMLESS = """
from qcore import Provider, hookimpl

@hookimpl
def qcore_brokers():
    return [Provider("lost", "qcore.brokers.memory:MemoryBroker")]

@hookimpl
def qcore_result_stores():
    return [Provider("found", "qcore.results.memory:MemoryStore")]
"""
OF_ANOTHER_KIND = """
from qcore import Provider, hookimpl

@hookimpl
def qcore_schedulers():
    return [Provider("odd", "qcore.results.memory:MemoryStore")]
"""
PROJECT = """
SECRET_KEY = "of tests alone"
INSTALLED_APPS = ["qcore"]
Q_CLUSTER = {"memory": {}, "result_store": "found", "cache_backend": "nobodys"}
"""


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (CLAIMLESS, "the broker 'lost' can never be selected: it claims no key"),
        (OF_ANOTHER_KIND, "MemoryStore' is not a subclass of qcore.Scheduler"),
    ],
)
def test_what_cannot_be_selected_is_an_error(qcore, tmp_path, source, told):
    install(tmp_path, "spoiled", source)
    env = alone(tmp_path, "spoiled")
    done = qcore(tmp_path, "plugins", "--json", **env)
    assert done.returncode == 3
    plugin = by_name(json.loads(done.stdout))["spoiled"]
    assert plugin["state"] == "broken"
    assert told in plugin["error"]
    shown = qcore(tmp_path, "plugins", **env).stdout
    assert f"spoiled is broken: {plugin['error']}" in shown


def test_outside_of_a_project_nothing_is_selected(document):
    assert document["selected"] is None


def test_what_a_project_selects_is_shown(qcore, tmp_path):
    install(tmp_path, "spoiled", CLAIMLESS)
    (tmp_path / "shop_settings.py").write_text(PROJECT)
    env = alone(tmp_path, "spoiled") | {"DJANGO_SETTINGS_MODULE": "shop_settings"}
    done = qcore(tmp_path, "plugins", "--json", **env)
    found = json.loads(done.stdout)["selected"]
    assert found["broker"] == {"name": "memory", "by": "memory", "error": None}
    assert found["result store"]["by"] == "result_store"
    assert found["scheduler"] == {"name": "orm", "by": None, "error": None}
    assert "no cache backend of that name" in found["cache backend"]["error"]
    shown = qcore(tmp_path, "plugins", **env).stdout
    assert "SELECTED BY" in shown


def test_declared_settings_are_listed(document):
    redis = by_name(document)["redis"]
    if redis["state"] != "ok":
        pytest.skip("qcore-redis is not installed")
    one = {setting["name"]: setting for setting in redis["settings"]}["redis"]
    assert one["type"] == "dict | str | list | None"
    assert one["secret"] is True


def test_options_of_tasks_are_listed(monkeypatch):
    from qcore.cli.plugins import _plugin, _render

    FakePlugins(monkeypatch).add(
        "colours",
        qcore_task_options=hookimpl(lambda: [TaskOption("colour", str, "Its colour.")]),
    )
    plugins = [_plugin(plugin) for plugin in Registry().plugins]
    assert plugins[-1]["task_options"] == [{"name": "colour", "help": "Its colour."}]
    lines = _render({"plugins": plugins[-1:], "selected": None})
    assert lines[1].split() == [
        "colours", "qcore-colours", "2.0.0", "ok", "task", "options:", "colour",
    ]  # fmt: skip
