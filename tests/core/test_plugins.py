"""The registry: loading under guard, choosing the broker, telling the observers."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from qcore import Broker, Conf, Provider, hookimpl
from qcore.brokers.memory import MemoryBroker
from qcore.errors import ConfigError, PluginBroken, PluginConflict, PluginMissing
from qcore.plugins import KNOWN, Plugin, Registry

MEMORY = "qcore.brokers.memory:MemoryBroker"
Install = Callable[..., types.ModuleType]


class Distribution:
    """As much of a distribution as an entry point needs."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install plugins for one test: modules with entry points; no real ones are seen."""
    points: list[EntryPoint] = []
    monkeypatch.setattr("qcore.plugins.entry_points", lambda group: points)
    monkeypatch.delenv("QCORE_PLUGINS", raising=False)

    def add(name: str, version: str = "2.0.0", **hooks: Any) -> types.ModuleType:
        module = types.ModuleType(f"fake_{name}_{len(points)}")
        vars(module).update(hooks)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        point = EntryPoint(name, module.__name__, "qcore")
        vars(point).update(dist=Distribution(f"qcore-{name}", version))
        points.append(point)
        return module

    def add_missing(name: str) -> None:
        point = EntryPoint(name, "no_such_module_of_a_plugin", "qcore")
        vars(point).update(dist=Distribution(f"qcore-{name}", "2.0.0"))
        points.append(point)

    add.missing = add_missing  # type: ignore[attr-defined]
    return add


def brokers(*providers: Any) -> Callable[[], list[Any]]:
    """Return an implementation of qcore_brokers."""

    @hookimpl
    def qcore_brokers() -> list[Any]:
        return list(providers)

    return qcore_brokers


def install_broker(install: Install, name: str, *claims: str) -> None:
    install(name, qcore_brokers=brokers(Provider(name, MEMORY, claims or (name,))))


def conf(**settings: Any) -> Conf:
    return Conf.from_dict(settings, claimed=["example"])


def loaded(registry: Registry) -> dict[str, str | None]:
    """Return the error of each plugin by the name of its entry point."""
    return {plugin.name: plugin.error for plugin in registry.plugins}


# -- loading -------------------------------------------------------------------
def test_built_ins_come_by_the_same_door(install: Install) -> None:
    registry = Registry()
    (plugin,) = registry.plugins
    assert (plugin.name, plugin.distribution, plugin.error) == (
        "builtin",
        "qcore",
        None,
    )
    assert set(registry.providers("broker")) == {"memory"}
    assert registry.load("broker", "memory") is MemoryBroker


def test_a_broken_plugin_is_kept_with_its_error(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install.missing("absent")  # type: ignore[attr-defined]
    install_broker(install, "zebra")
    registry = Registry()
    assert loaded(registry) == {
        "builtin": None,
        "absent": "ModuleNotFoundError: No module named 'no_such_module_of_a_plugin'",
        "zebra": None,
    }
    assert "plugin qcore-absent 2.0.0 is broken" in caplog.text
    assert registry.load("broker", "zebra") is MemoryBroker


def test_a_hook_that_raises_breaks_its_plugin_only(install: Install) -> None:
    @hookimpl
    def qcore_brokers() -> list[Provider]:
        raise RuntimeError("no licence")

    install("bad", qcore_brokers=qcore_brokers)
    install_broker(install, "good")
    assert loaded(Registry()) == {
        "builtin": None,
        "bad": "RuntimeError: no licence",
        "good": None,
    }


def test_a_hook_with_a_wrong_signature_leaves_nothing_behind(install: Install) -> None:
    seen: list[object] = []

    @hookimpl
    def qcore_process_started(role: str) -> None:
        seen.append(role)

    @hookimpl
    def qcore_task_enqueued(job: object) -> None:
        seen.append(job)

    install(
        "bad",
        qcore_process_started=qcore_process_started,
        qcore_task_enqueued=qcore_task_enqueued,
    )
    registry = Registry()
    error = loaded(registry)["bad"]
    assert error is not None
    assert error.startswith("PluginBroken: qcore-bad 2.0.0: ")
    assert "job" in error
    registry.notify("qcore_process_started", role="worker", conf=conf())
    assert seen == []


def test_a_misspelt_hook_is_refused(install: Install) -> None:
    install("bad", qcore_broker=brokers())
    assert loaded(Registry())["bad"] == (
        "PluginBroken: qcore-bad 2.0.0: unknown hook 'qcore_broker'"
        " - did you mean 'qcore_brokers'?"
    )


def test_a_provider_must_be_one(install: Install) -> None:
    install("bad", qcore_brokers=brokers(MEMORY))
    assert loaded(Registry())["bad"] == (
        "PluginBroken: qcore-bad 2.0.0: qcore_brokers() must return qcore.Provider"
        " objects, got str"
    )


def test_a_name_given_twice_names_both(install: Install) -> None:
    install("ours", "2.1.0", qcore_brokers=brokers(Provider("sqs", MEMORY)))
    install("theirs", "0.3", qcore_brokers=brokers(Provider("sqs", "their:Broker")))
    registry = Registry()
    assert loaded(registry)["ours"] is None
    assert loaded(registry)["theirs"] == (
        "PluginConflict: the broker 'sqs' is provided by both qcore-ours 2.1.0 and"
        " qcore-theirs 0.3. Uninstall one of them, or name the others in"
        " QCORE_PLUGINS."
    )
    assert registry.providers("broker")["sqs"].target == MEMORY


def test_a_setting_claimed_twice_names_both(install: Install) -> None:
    install("a", qcore_brokers=brokers(Provider("one", MEMORY, ("sqs",))))
    install("b", qcore_brokers=brokers(Provider("two", MEMORY, ("queue", "sqs"))))
    assert loaded(Registry())["b"] == (
        "PluginConflict: Q_CLUSTER['sqs'] is claimed by both qcore-a 2.0.0 and"
        " qcore-b 2.0.0. Uninstall one of them."
    )


def test_the_environment_chooses_what_is_loaded(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        install_broker(install, name)
    monkeypatch.setenv("QCORE_PLUGINS", "a, c")
    assert set(loaded(Registry())) == {"builtin", "a", "c"}
    monkeypatch.setenv("QCORE_PLUGINS", "")
    assert set(loaded(Registry())) == {"builtin"}
    assert set(loaded(Registry(only=["b"]))) == {"builtin", "b"}


def test_claims_are_those_of_all_plugins(install: Install) -> None:
    install_broker(install, "redis", "redis", "django_redis")
    install_broker(install, "example")
    assert Registry().claims() == {"redis", "django_redis", "example"}


def test_hook_calls_can_be_traced(
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QCORE_TRACE_HOOKS", "1")
    Registry().hook.qcore_checks(conf=conf())
    assert "qcore_checks" in capsys.readouterr().err


# -- looking up ------------------------------------------------------------------
def test_what_is_not_installed_is_named_with_its_command(install: Install) -> None:
    with pytest.raises(PluginMissing) as raised:
        Registry().load("broker", "sqs")
    assert str(raised.value) == (
        "no broker 'sqs' is installed (memory). Run: pip install \"qcore[sqs]>=2\""
    )


def test_a_misspelt_name_is_met_with_the_nearest(install: Install) -> None:
    with pytest.raises(PluginMissing) as raised:
        Registry().load("broker", "memry")
    assert str(raised.value) == (
        "no broker 'memry' is installed (memory). See `qcore plugins`"
        " - did you mean 'memory'?"
    )


def test_a_target_that_is_not_there(install: Install) -> None:
    provider = Provider("x", "qcore.brokers.memory:Memory")
    install("x", qcore_brokers=brokers(provider))
    with pytest.raises(
        PluginBroken, match=r"'x' cannot be loaded from .*AttributeError"
    ):
        Registry().load("broker", "x")


# -- choosing the broker -----------------------------------------------------------
def test_broker_class_wins(install: Install) -> None:
    install_broker(install, "redis")
    path = f"{MemoryBroker.__module__}.MemoryBroker"
    chosen = Registry().broker_class(conf(broker_class=path, redis={}, orm="default"))
    assert chosen is MemoryBroker


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.Broker", "cannot be imported: No module named 'no'"),
        ("qcore.brokers.memory.Nothing", "cannot be imported: module"),
        ("pathlib.Path", "is not a subclass of qcore.Broker"),
        ("Broker", "is not a subclass of qcore.Broker"),
    ],
)
def test_broker_class_must_be_one(install: Install, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Registry().broker_class(conf(broker_class=path))
    assert str(raised.value).startswith(f"Q_CLUSTER['broker_class'] is {path!r}, which")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"orm": "default"}, "orm"),
        ({"redis": {}}, "redis"),
        ({"django_redis": "default"}, "redis"),
        ({"redis": {}, "django_redis": "default"}, "redis"),
        ({"orm": None, "example": {}}, "example"),
        ({}, "redis"),
    ],
)
def test_the_settings_choose(
    install: Install, settings: dict[str, Any], name: str
) -> None:
    install_broker(install, "redis", "redis", "django_redis")
    install_broker(install, "orm")
    install_broker(install, "example")
    assert Registry().broker_name(conf(**settings)) == name


def test_settings_that_choose_two(install: Install) -> None:
    install_broker(install, "orm")
    install_broker(install, "example")
    with pytest.raises(PluginConflict) as raised:
        Registry().broker_name(conf(orm="default", example={}))
    assert str(raised.value) == (
        "Q_CLUSTER selects 2 brokers (example, orm) with 'example', 'orm'."
        " Keep one of these settings."
    )


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("sqs", "sqs", {}),
        ("mongo", "mongo", {}),
        ("ironmq", "iron_mq", {}),
        ("disque", "disque_nodes", ["127.0.0.1:7711"]),
        ("redis", "django_redis", "default"),
        ("orm", "orm", "default"),
    ],
)
def test_the_settings_choose_what_is_not_installed(
    install: Install, name: str, key: str, value: object
) -> None:
    install_broker(install, "example")
    with pytest.raises(PluginMissing) as raised:
        Registry().broker_name(conf(**{key: value}))
    assert str(raised.value) == (
        f"Q_CLUSTER has {key!r} but no installed plugin provides it"
        f' (installed: example, memory). Run: pip install "qcore[{name}]>=2"'
    )


def test_the_settings_choose_what_is_broken(install: Install) -> None:
    install.missing("sqs")  # type: ignore[attr-defined]
    with pytest.raises(PluginMissing) as raised:
        Registry().broker_name(conf(sqs={}))
    assert str(raised.value) == (
        "Q_CLUSTER has 'sqs', but its plugin qcore-sqs 2.0.0 is broken:"
        " ModuleNotFoundError: No module named 'no_such_module_of_a_plugin'"
    )


def test_a_reporter_chooses_no_broker(install: Install) -> None:
    install_broker(install, "orm")
    settings = conf(orm="default", error_reporter={"sentry": {"dsn": "x"}})
    assert Registry().broker_name(settings) == "orm"


def test_the_only_broker_needs_no_setting(install: Install) -> None:
    install_broker(install, "example")
    assert Registry().broker_name(conf()) == "example"


def test_several_brokers_need_a_setting(install: Install) -> None:
    install_broker(install, "sqs")
    install_broker(install, "orm")
    with pytest.raises(PluginConflict) as raised:
        Registry().broker_name(conf())
    assert str(raised.value) == (
        "several brokers are installed (orm, sqs) and Q_CLUSTER selects none."
        " Add its setting, for example 'orm': 'default'."
    )


def test_no_broker_at_all(install: Install) -> None:
    with pytest.raises(PluginMissing) as raised:
        Registry().broker_name(conf())
    message = str(raised.value)
    assert message == (
        'no broker is installed. Run: pip install "qcore[orm]>=2" and set'
        " Q_CLUSTER['orm'] = 'default', or install another of: redis, orm, sqs, mongo,"
        " ironmq, disque"
    )
    assert set(KNOWN) - {"sentry", "rollbar"} == set(message.split(": ")[2].split(", "))


def test_a_broken_default_is_not_replaced_by_another_broker(install: Install) -> None:
    """Tasks would go where no cluster of the project looks."""
    install.missing("redis")  # type: ignore[attr-defined]
    install_broker(install, "example")
    with pytest.raises(PluginBroken) as raised:
        Registry().broker_name(conf())
    assert str(raised.value) == (
        "Q_CLUSTER selects no broker, and the plugin qcore-redis 2.0.0 is broken:"
        " ModuleNotFoundError: No module named 'no_such_module_of_a_plugin'"
    )


def test_the_class_of_the_chosen_broker(install: Install) -> None:
    install_broker(install, "example")
    chosen = Registry().broker_class(conf(example={}))
    assert issubclass(chosen, Broker)


# -- observers -----------------------------------------------------------------
def test_observers_are_told_one_by_one(
    install: Install, caplog: pytest.LogCaptureFixture
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
        install(name, qcore_process_started=observer(name))
    with caplog.at_level(logging.ERROR, "qcore.plugins"):
        Registry().notify("qcore_process_started", role="worker", conf=conf())
    assert sorted(seen) == ["a worker", "b worker", "c worker"]
    (record,) = caplog.records
    message = record.getMessage()
    assert message == "plugin qcore-b:b failed in qcore_process_started"
    assert record.exc_info is not None


def test_whether_anybody_observes(install: Install) -> None:
    assert not Registry().observed("qcore_task_enqueued")

    @hookimpl
    def qcore_task_enqueued() -> None:
        """An implementation may take fewer arguments."""

    install("a", qcore_task_enqueued=qcore_task_enqueued)
    registry = Registry()
    assert registry.observed("qcore_task_enqueued")
    registry.notify("qcore_task_enqueued", task=object())


def test_registering_by_hand(install: Install) -> None:
    """A project may add a plugin of its own without an entry point."""
    registry = Registry()
    plugin = Plugin("own", "shop", "1.0", "shop.queues")
    module = types.SimpleNamespace(qcore_brokers=brokers(Provider("own", MEMORY)))
    registry.register(module, plugin)
    assert registry.load("broker", "own") is MemoryBroker
    assert plugin.providers == {"broker": [Provider("own", MEMORY)]}
