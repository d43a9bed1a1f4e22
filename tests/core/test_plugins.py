"""The registry: loading under guard, looking up, telling the observers."""

from __future__ import annotations

import asyncio
import logging
import types
from typing import Any

import pytest
from support.fake_plugins import MEMORY, FakePlugins, brokers, conf

from qcore import Provider, hookimpl
from qcore.brokers.memory import MemoryBroker
from qcore.errors import INTERRUPTS, PluginBroken, PluginMissing
from qcore.plugins import Plugin, Registry
from qcore.plugins.known import how_to_install


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> FakePlugins:
    return FakePlugins(monkeypatch)


def loaded(registry: Registry) -> dict[str, str | None]:
    """Return the error of each plugin by the name of its entry point."""
    return {plugin.name: plugin.error for plugin in registry.plugins}


# -- loading -------------------------------------------------------------------
def test_a_plugin_translates_the_settings_of_a_project(caplog):
    seen = []

    class Translator:
        @hookimpl
        def qcore_adapt_settings(self, options, known):
            seen.append(known)
            return {**options, "workers": options["pool"]}

    class Broken:
        @hookimpl
        def qcore_adapt_settings(self, options):
            raise LookupError("no")

    class Silent:
        @hookimpl
        def qcore_adapt_settings(self):
            return None

    registry = Registry(only=())
    for one in (Translator(), Broken(), Silent()):
        registry.register(one, Plugin(type(one).__name__, "acme", "1.0", "acme"))
    assert registry.adapt({"pool": 3}) == {"pool": 3, "workers": 3}
    assert {"workers", "orm", "redis"} <= seen[0]
    assert "acme:Broken failed in qcore_adapt_settings" in caplog.text
    assert registry.adapt(5) == 5


def test_built_ins_come_by_the_same_door(fakes: FakePlugins) -> None:
    registry = Registry()
    (plugin,) = registry.plugins
    assert (plugin.name, plugin.distribution, plugin.error) == (
        "builtin",
        "qcore",
        None,
    )
    assert set(registry.providers("broker")) == {"memory"}
    assert registry.load("broker", "memory") is MemoryBroker


@pytest.mark.fault("J5")
def test_a_broken_plugin_is_kept_with_its_error(
    fakes: FakePlugins, caplog: pytest.LogCaptureFixture
) -> None:
    fakes.add_broken("absent")
    fakes.add_broker("zebra")
    registry = Registry()
    assert loaded(registry) == {
        "builtin": None,
        "absent": "ModuleNotFoundError: No module named 'no_such_module_of_a_plugin'",
        "zebra": None,
    }
    assert "plugin qcore-absent 2.0.0 is broken" in caplog.text
    assert registry.load("broker", "zebra") is MemoryBroker


def test_a_hook_that_raises_breaks_its_plugin_only(fakes: FakePlugins) -> None:
    @hookimpl
    def qcore_brokers() -> list[Provider]:
        raise RuntimeError("no licence")

    fakes.add("bad", qcore_brokers=qcore_brokers)
    fakes.add_broker("good")
    assert loaded(Registry()) == {
        "builtin": None,
        "bad": "RuntimeError: no licence",
        "good": None,
    }


@pytest.mark.fault("J6")
def test_a_hook_with_a_wrong_signature_leaves_nothing_behind(
    fakes: FakePlugins,
) -> None:
    seen: list[object] = []

    @hookimpl
    def qcore_process_started(role: str) -> None:
        seen.append(role)

    @hookimpl
    def qcore_task_enqueued(job: object) -> None:
        seen.append(job)

    fakes.add(
        "bad",
        qcore_process_started=qcore_process_started,
        qcore_task_enqueued=qcore_task_enqueued,
    )
    registry = Registry()
    error = loaded(registry)["bad"]
    assert error is not None
    assert error.startswith("PluginBroken: qcore-bad 2.0.0: ")
    assert "qcore_task_enqueued" in error
    assert "job" in error
    registry.notify("qcore_process_started", role="worker", conf=conf())
    assert seen == []


@pytest.mark.fault("J6")
def test_a_misspelt_hook_is_refused(fakes: FakePlugins) -> None:
    fakes.add("bad", qcore_broker=brokers())
    assert loaded(Registry())["bad"] == (
        "PluginBroken: qcore-bad 2.0.0: unknown hook 'qcore_broker'"
        " - did you mean 'qcore_brokers'?"
    )


def test_a_provider_must_be_one(fakes: FakePlugins) -> None:
    fakes.add("bad", qcore_brokers=brokers(MEMORY))
    assert loaded(Registry())["bad"] == (
        "PluginBroken: qcore-bad 2.0.0: qcore_brokers() must return qcore.Provider"
        " objects, got str"
    )


@pytest.mark.fault("J5")
def test_a_name_given_twice_names_both(fakes: FakePlugins) -> None:
    fakes.add("ours", "2.1.0", qcore_brokers=brokers(Provider("sqs", MEMORY)))
    fakes.add("theirs", "0.3", qcore_brokers=brokers(Provider("sqs", "their:Broker")))
    registry = Registry()
    assert loaded(registry)["ours"] is None
    assert loaded(registry)["theirs"] == (
        "PluginConflict: the broker 'sqs' is provided by both qcore-ours 2.1.0 and"
        " qcore-theirs 0.3. Uninstall one of them, or name the others in"
        " QCORE_PLUGINS."
    )
    assert registry.providers("broker")["sqs"].target == MEMORY


def test_a_setting_claimed_twice_names_both(fakes: FakePlugins) -> None:
    fakes.add("a", qcore_brokers=brokers(Provider("one", MEMORY, ("sqs",))))
    fakes.add("b", qcore_brokers=brokers(Provider("two", MEMORY, ("queue", "sqs"))))
    assert loaded(Registry())["b"] == (
        "PluginConflict: Q_CLUSTER['sqs'] is claimed by both qcore-a 2.0.0 and"
        " qcore-b 2.0.0. Uninstall one of them."
    )


def test_the_environment_chooses_what_is_loaded(
    fakes: FakePlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        fakes.add_broker(name)
    monkeypatch.setenv("QCORE_PLUGINS", "a, c")
    assert set(loaded(Registry())) == {"builtin", "a", "c"}
    monkeypatch.setenv("QCORE_PLUGINS", "")
    assert set(loaded(Registry())) == {"builtin"}
    assert set(loaded(Registry(only=["b"]))) == {"builtin", "b"}


def test_claims_are_those_of_all_plugins(fakes: FakePlugins) -> None:
    fakes.add_broker("redis", "redis", "django_redis")
    fakes.add_broker("example")
    assert Registry().claims() == {"redis", "django_redis", "example", "memory"}


def test_hook_calls_can_be_traced(
    fakes: FakePlugins,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QCORE_TRACE_HOOKS", "1")
    Registry().hook.qcore_checks(conf=conf())
    assert "qcore_checks" in capsys.readouterr().err

    Registry().first("qcore_run_task", task=None, call=list)
    assert "qcore_run_task" in capsys.readouterr().err


@pytest.mark.parametrize("installed", [False, True])
def test_the_first_result_is_taken(fakes: FakePlugins, installed: bool) -> None:
    """With the built-in implementation alone, and with one before it that takes part."""
    calls: list[str] = []

    @hookimpl
    def qcore_run_task(call: Any) -> Any:
        calls.append("plugin")
        return call()

    if installed:
        fakes.add("a", qcore_run_task=qcore_run_task)
    first = Registry().first
    assert first("qcore_run_task", task=None, call=lambda: 7) == 7
    assert first("qcore_run_task", task=None, call=lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        first("qcore_run_task", task=None, call=lambda: 1 // 0)
    assert calls.count("plugin") == (3 if installed else 0)


# -- looking up ------------------------------------------------------------------
def test_what_is_not_installed_is_named_with_its_command(fakes: FakePlugins) -> None:
    with pytest.raises(PluginMissing) as raised:
        Registry().load("broker", "sqs")
    assert str(raised.value) == (
        f"no broker 'sqs' is installed (memory). {how_to_install('sqs')}"
    )


def test_a_misspelt_name_is_met_with_the_nearest(fakes: FakePlugins) -> None:
    with pytest.raises(PluginMissing) as raised:
        Registry().load("broker", "memry")
    assert str(raised.value) == (
        "no broker 'memry' is installed (memory). See `qcore plugins`"
        " - did you mean 'memory'?"
    )


def test_a_target_that_is_not_there(fakes: FakePlugins) -> None:
    provider = Provider("x", "qcore.brokers.memory:Memory")
    fakes.add("x", qcore_brokers=brokers(provider))
    with pytest.raises(
        PluginBroken, match=r"'x' cannot be loaded from .*AttributeError"
    ):
        Registry().load("broker", "x")


# -- observers -----------------------------------------------------------------
@pytest.mark.fault("B23")
def test_observers_are_told_one_by_one(
    fakes: FakePlugins, caplog: pytest.LogCaptureFixture
) -> None:
    """One that raises is logged by name and silences nobody, before or after it."""
    seen: list[str] = []

    def observer(name: str) -> Any:
        @hookimpl
        def qcore_process_started(role: str) -> None:
            seen.append(f"{name} {role}")
            if name == "b":
                raise RuntimeError("boom")

        return qcore_process_started

    for name in ("a", "b", "c"):
        fakes.add(name, qcore_process_started=observer(name))
    with caplog.at_level(logging.ERROR, "qcore.plugins"):
        Registry().notify("qcore_process_started", role="worker", conf=conf())
    assert sorted(seen) == ["a worker", "b worker", "c worker"]
    (record,) = caplog.records
    message = record.getMessage()
    assert message == "plugin qcore-b:b failed in qcore_process_started"
    assert record.exc_info is not None


@pytest.mark.fault("B23")
@pytest.mark.parametrize(
    "error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError()], ids=repr
)
def test_no_observer_ends_a_process(
    fakes: FakePlugins, caplog: Any, error: BaseException
) -> None:
    seen = []

    @hookimpl
    def qcore_snapshot_taken() -> None:
        raise error

    @hookimpl(specname="qcore_snapshot_taken")
    def after() -> None:
        seen.append("the next one")

    fakes.add("b", qcore_snapshot_taken=qcore_snapshot_taken)
    fakes.add("a", qcore_snapshot_taken=after)
    Registry().notify("qcore_snapshot_taken", snapshot=None)
    assert seen == ["the next one"]
    assert "plugin qcore-b:b failed in qcore_snapshot_taken" in caplog.text


@pytest.mark.parametrize("error", INTERRUPTS)
def test_what_ends_a_task_is_no_error_of_an_observer(
    fakes: FakePlugins, caplog: Any, error: type[BaseException]
) -> None:
    """As a timeout that comes while a task sends another one, and plugins hear of it."""

    @hookimpl
    def qcore_snapshot_taken() -> None:
        raise raised

    raised = error("from outside")
    fakes.add("a", qcore_snapshot_taken=qcore_snapshot_taken)
    with pytest.raises(error) as caught:
        Registry().notify("qcore_snapshot_taken", snapshot=None)
    assert caught.value is raised
    assert caplog.records == []


def test_a_plugin_that_exits_on_its_import_is_broken(
    fakes: FakePlugins, monkeypatch: Any
) -> None:
    def exit(point: object) -> None:
        raise SystemExit("no licence")

    fakes.add("a")
    monkeypatch.setattr("importlib.metadata.EntryPoint.load", exit)
    assert loaded(Registry())["a"] == "SystemExit: no licence"


def test_whether_anybody_observes(fakes: FakePlugins) -> None:
    assert not Registry().observed("qcore_task_enqueued")

    @hookimpl
    def qcore_task_enqueued() -> None:
        """An implementation may take fewer arguments."""

    fakes.add("a", qcore_task_enqueued=qcore_task_enqueued)
    registry = Registry()
    assert registry.observed("qcore_task_enqueued")
    registry.notify("qcore_task_enqueued", task=object())


def test_registering_by_hand(fakes: FakePlugins) -> None:
    """A project may add a plugin of its own without an entry point."""
    registry = Registry()
    plugin = Plugin("own", "shop", "1.0", "shop.queues")
    module = types.SimpleNamespace(qcore_brokers=brokers(Provider("own", MEMORY)))
    registry.register(module, plugin)
    assert registry.load("broker", "own") is MemoryBroker
    assert plugin.providers == {"broker": [Provider("own", MEMORY)]}
