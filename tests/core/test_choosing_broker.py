"""Which broker a project gets: its own class, its setting, or the documented default."""

from __future__ import annotations

from typing import Any

import pytest
from support.fake_plugins import FakePlugins, conf

from qcore import Broker, Conf
from qcore.brokers.memory import MemoryBroker
from qcore.errors import ConfigError, PluginBroken, PluginConflict, PluginMissing
from qcore.plugins import Registry
from qcore.plugins.choice import choose
from qcore.plugins.known import KNOWN, how_to_install


def broker_name(registry: Registry, conf: Conf) -> str:
    return choose(registry, conf, "broker").name


def broker_class(registry: Registry, conf: Conf) -> Any:
    return choose(registry, conf, "broker").load()


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> FakePlugins:
    return FakePlugins(monkeypatch)


def test_broker_class_wins(fakes: FakePlugins) -> None:
    fakes.add_broker("redis")
    path = f"{MemoryBroker.__module__}.MemoryBroker"
    chosen = broker_class(Registry(), conf(broker_class=path, redis={}, orm="default"))
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
def test_broker_class_must_be_one(fakes: FakePlugins, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        broker_class(Registry(), conf(broker_class=path))
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
    fakes: FakePlugins, settings: dict[str, Any], name: str
) -> None:
    fakes.add_broker("redis", "redis", "django_redis")
    fakes.add_broker("orm")
    fakes.add_broker("example")
    assert broker_name(Registry(), conf(**settings)) == name


def test_settings_that_choose_two(fakes: FakePlugins) -> None:
    fakes.add_broker("orm")
    fakes.add_broker("example")
    with pytest.raises(PluginConflict) as raised:
        broker_name(Registry(), conf(orm="default", example={}))
    assert str(raised.value) == (
        "Q_CLUSTER selects 2 brokers: example of qcore-example 2.0.0 with 'example',"
        " orm of qcore-orm 2.0.0 with 'orm'. Keep one of these settings."
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
    fakes: FakePlugins, name: str, key: str, value: object
) -> None:
    fakes.add_broker("example")
    with pytest.raises(PluginMissing) as raised:
        broker_name(Registry(), conf(**{key: value}))
    assert str(raised.value) == (
        f"Q_CLUSTER has {key!r} but no installed plugin provides it"
        f" (installed: example, memory). {how_to_install(name)}"
    )


def test_the_settings_choose_what_is_broken(fakes: FakePlugins) -> None:
    fakes.add_broken("sqs")
    with pytest.raises(PluginMissing) as raised:
        broker_name(Registry(), conf(sqs={}))
    assert str(raised.value) == (
        "Q_CLUSTER has 'sqs', but its plugin qcore-sqs 2.0.0 is broken:"
        " ModuleNotFoundError: No module named 'no_such_module_of_a_plugin'"
    )


def test_a_reporter_chooses_no_broker(fakes: FakePlugins) -> None:
    fakes.add_broker("orm")
    settings = conf(orm="default", error_reporter={"sentry": {"dsn": "x"}})
    assert broker_name(Registry(), settings) == "orm"


def test_the_only_broker_needs_no_setting(fakes: FakePlugins) -> None:
    fakes.add_broker("example")
    assert broker_name(Registry(), conf()) == "example"


def test_several_brokers_need_a_setting(fakes: FakePlugins) -> None:
    fakes.add_broker("sqs")
    fakes.add_broker("orm")
    with pytest.raises(PluginConflict) as raised:
        broker_name(Registry(), conf())
    assert str(raised.value) == (
        "several brokers are installed (orm, sqs) and Q_CLUSTER selects none."
        " Add its setting, for example 'orm': 'default'."
    )


def test_the_default_says_that_it_is_one_where_there_are_others(
    fakes: FakePlugins,
) -> None:
    fakes.add_broker("redis")
    assert (
        choose(Registry(), conf(), "broker").doubt == ""
    )  # nothing else could be meant
    fakes.add_broker("orm")
    registry = Registry()
    assert choose(registry, conf(redis={}), "broker").doubt == ""
    assert choose(registry, conf(), "broker").doubt == (
        "Q_CLUSTER selects no broker, and several are installed (orm, redis): tasks go to"
        " redis with its default settings. Say which one is meant: 'redis': {} in"
        " Q_CLUSTER, or another one's setting, like 'orm': 'default'."
    )


def with_keys() -> list[tuple[str, tuple[str, ...]]]:
    return [(name, keys) for name, keys in KNOWN.items() if keys]


def test_no_broker_at_all(fakes: FakePlugins) -> None:
    with pytest.raises(PluginMissing) as raised:
        broker_name(Registry(), conf())
    message = str(raised.value)
    assert message == (
        "no broker is installed. Choose one of: redis, orm, sqs, mongo, ironmq, disque."
        " To begin with, set Q_CLUSTER['orm'] = 'default', and add 'qcore_orm' to"
        f" INSTALLED_APPS. {how_to_install('orm')}"
    )
    brokers = message.split(": ")[1].partition(".")[0].split(", ")
    assert {name for name, (key, *_) in with_keys() if "." not in key} == set(brokers)


def test_a_broken_default_is_not_replaced_by_another_broker(fakes: FakePlugins) -> None:
    """Tasks would go where no cluster of the project looks."""
    fakes.add_broken("redis")
    fakes.add_broker("example")
    with pytest.raises(PluginBroken) as raised:
        broker_name(Registry(), conf())
    assert str(raised.value) == (
        "Q_CLUSTER selects no broker, and the plugin qcore-redis 2.0.0 is broken:"
        " ModuleNotFoundError: No module named 'no_such_module_of_a_plugin'"
    )


def test_the_class_of_the_chosen_broker(fakes: FakePlugins) -> None:
    fakes.add_broker("example")
    chosen = broker_class(Registry(), conf(example={}))
    assert issubclass(chosen, Broker)
