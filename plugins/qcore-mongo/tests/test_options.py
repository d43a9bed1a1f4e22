"""The settings 'mongo' and 'mongo_db': what is documented works, what is wrong is told."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from bson.raw_bson import RawBSONDocument
from dns import resolver

from qcore.conf import Conf
from qcore.errors import ConfigError
from qcore_mongo.broker import MongoBroker
from qcore_mongo.options import Options

if TYPE_CHECKING:
    from servers.mongo import MongoServer

Open = Callable[..., MongoBroker]


def options(setting: object = None, **others: object) -> Options:
    given = others if setting is None else {"mongo": setting, **others}
    return Options.from_conf(Conf.from_dict(given), 5.0)


def round_trip(broker: MongoBroker) -> None:
    broker.enqueue(b"\x00package")
    (delivery,) = broker.dequeue(wait=5)
    broker.acknowledge(delivery.receipt)
    assert delivery.package == b"\x00package"


def test_the_documented_example(mongo_server: MongoServer, open_broker: Open) -> None:
    setting = {"host": "127.0.0.1", "port": mongo_server.port}
    others = {"workers": 8, "timeout": 60, "retry": 70, "queue_limit": 100}
    round_trip(open_broker(setting, name="MongoDB", **others))
    assert setting == {"host": "127.0.0.1", "port": mongo_server.port}, "it was changed"
    assert options(setting).database == "django-q"


def test_a_uri_names_the_database(mongo_server: MongoServer, open_broker: Open) -> None:
    broker = open_broker({"host": f"{mongo_server.uri}/tasks?retryWrites=false"})
    round_trip(broker)
    client = broker._connection._queues().client
    assert client.options.retry_writes is False
    assert f"qcore.queue.{broker.queue}" in client["tasks"].list_collection_names()


@pytest.mark.parametrize(
    ("setting", "database"),
    [
        ({}, "django-q"),
        ({"host": "h1"}, "django-q"),
        ({"host": "mongodb://h1"}, "django-q"),
        ({"host": "mongodb://h1/?tls=true"}, "django-q"),
        ({"host": "mongodb://h1:1,h2:2/shop?replicaSet=r"}, "shop"),
        ({"host": ["mongodb://h1/shop", "h2"]}, "shop"),
        ({"host": "mongodb://ann:p%40w@h1/shop.tasks"}, "shop"),
        ({"host": "mongodb+srv://ann:pw@cluster0.example.net/shop?w=1"}, "shop"),
        ({"host": "mongodb+srv://cluster0.example.net"}, "django-q"),
    ],
)
def test_the_default_database(setting: dict[str, Any], database: str) -> None:
    assert options(setting).database == database
    assert options(setting, mongo_db="other").database == "other"


def test_no_setting_is_localhost() -> None:
    found = options()
    assert (found.address, found.database) == ("localhost:27017", "django-q")


def test_making_a_broker_looks_nothing_up(
    monkeypatch: pytest.MonkeyPatch, open_broker: Open
) -> None:
    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def look_up(name: object, *rest: object, **others: object) -> Any:
            # threads of other clients may look up what they need
            assert "unknown.example.net" not in str(name), f"looked up {name}"
            return call(name, *rest, **others)

        return look_up

    monkeypatch.setattr(socket, "getaddrinfo", watched(socket.getaddrinfo))
    monkeypatch.setattr(resolver, "resolve", watched(resolver.resolve))
    open_broker({"host": "unknown.example.net", "connect": True})
    open_broker({"host": "mongodb+srv://unknown.example.net/shop"})


def test_what_the_project_sets_is_kept() -> None:
    ours = options({}).arguments
    assert ours["serverSelectionTimeoutMS"] == 2000
    assert (ours["journal"], ours["appname"], ours["connect"]) == (True, "qcore", False)
    assert not options({}).bounded
    given = {"appName": "shop", "journal": False, "SOCKETTIMEOUTMS": 7000}
    found = options(given)
    assert found.arguments.items() >= given.items()
    assert "appname" not in found.arguments
    assert found.bounded
    by_uri = options({"host": "mongodb://h1/?serverSelectionTimeoutMS=9000"})
    assert "serverSelectionTimeoutMS" not in by_uri.arguments
    assert by_uri.bounded


def test_options_for_documents_of_the_project_do_not_disturb(
    mongo_server: MongoServer, open_broker: Open
) -> None:
    setting = {
        "host": mongo_server.uri,
        "document_class": RawBSONDocument,
        "tz_aware": True,
        "uuidRepresentation": "standard",
        "readPreference": "secondaryPreferred",
        "readConcernLevel": "majority",
        "maxPoolSize": 3,
    }
    broker = open_broker(setting)
    round_trip(broker)
    assert broker._connection._queues().client.options.pool_options.max_pool_size == 3


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"hots": "h1"}, "unknown option 'hots' - did you mean 'host'"),
        ({"socketTimeout": 3}, "did you mean 'sockettimeoutms'"),
        ({"host": "mongodb://h1/?hots=1"}, "unknown option 'hots' in the URI"),
        ({"host": "mongodb+srv://h.example.net/?hots=1"}, "unknown option 'hots'"),
        ({"host": "http://h1"}, "is not a URI of MongoDB"),
        ({"host": "mongodb://h1/?connectTimeoutMS=soon"}, "is not a URI of MongoDB"),
        ({"host": "mongodb://ann:hush/"}, "every special character"),
        ({"host": "mongodb://ann:hu/sh@h1/shop"}, "every special character"),
        ({"host": "mongodb://ann:hu@sh@h1/shop"}, "every special character"),
        ({"host": "mongodb://ann:hu:sh@h1/shop"}, "every special character"),
        ({"host": "mongodb://ann:hush@h1:port/shop"}, "every special character"),
        ({"host": 7}, "expected a name, a URI or a list"),
        ({"port": "many"}, "port must be an instance"),
        ({"username": "ann", "authMechanism": "SCRAM"}, "authMechanism"),
        ({"w": 0}, "nobody learns"),
        ({"host": "mongodb://h1/?w=0"}, "nobody learns"),
    ],
)
def test_a_wrong_option_is_named(
    open_broker: Open, setting: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        open_broker(setting)
    message = str(raised.value)
    assert message.startswith("Q_CLUSTER['mongo']")
    assert not any(part in message for part in ("hush", "hu/", "hu@", "hu:", "sh@"))


@pytest.mark.parametrize("name", ["a b", "a/b", "a.b", "a$"])
def test_a_wrong_database_is_named(open_broker: Open, name: str) -> None:
    with pytest.raises(ConfigError, match=r"Q_CLUSTER\['mongo_db'\].*cannot be"):
        open_broker({}, mongo_db=name)
