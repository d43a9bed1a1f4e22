"""How the settings ``redis`` and ``django_redis`` become connections."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from servers.redis import RedisServer

import qcore_redis
from qcore.conf import Conf
from qcore.errors import ConfigError
from qcore_redis.broker import RedisBroker
from qcore_redis.options import address, make_pool

if TYPE_CHECKING:
    from pytest_django import Settings

Open = Callable[..., RedisBroker]
CACHE = "django_redis.cache.RedisCache"


def pool(setting: object) -> redis.ConnectionPool:
    return make_pool(Conf.from_dict({"redis": setting}), 1.5)


def options(setting: object) -> dict[str, Any]:
    return dict(pool(setting).connection_kwargs)


def round_trip(broker: RedisBroker) -> None:
    broker.enqueue(b"\xff\x00")
    (delivery,) = broker.dequeue(wait=1)
    broker.acknowledge(delivery.receipt)
    assert delivery.package == b"\xff\x00"
    assert broker.queue_size() == broker.lock_size() == 0


def test_the_documented_dictionary() -> None:
    given = {
        "host": "localhost",
        "port": 6379,
        "db": 0,
        "password": None,
        "socket_timeout": None,
        "charset": "latin-1",
        "errors": "replace",
        "unix_socket_path": None,
    }
    found = options(given)
    assert (found["host"], found["port"], found["db"]) == ("localhost", 6379, 0)
    assert (found["encoding"], found["encoding_errors"]) == ("latin-1", "replace")
    # None would let a dead peer hang a web request for ever
    assert (found["socket_timeout"], found["socket_connect_timeout"]) == (1.5, 1.5)


@pytest.mark.skipif(
    "driver_info" not in inspect.signature(redis.Redis.__init__).parameters,
    reason="an earlier redis-py",
)
@pytest.mark.parametrize("setting", ["redis://localhost/1", {"host": "localhost"}])
def test_the_version_of_the_driver_is_looked_up_once(setting: object) -> None:
    first, second = options(setting), options(setting)
    assert first["driver_info"] is second["driver_info"]
    assert first["driver_info"].lib_version == redis.__version__


@pytest.mark.filterwarnings("ignore:Call to:DeprecationWarning")
@pytest.mark.parametrize(
    "setting",
    ["redis://localhost/1?lib_name=ours", {"host": "localhost", "lib_name": "ours"}],
)
def test_a_project_may_name_the_driver(setting: object) -> None:
    wire: Any = pool(setting).make_connection()
    info = getattr(wire, "driver_info", None)
    assert (wire.lib_name if info is None else info.formatted_name) == "ours"


def test_no_setting_is_localhost() -> None:
    assert address(make_pool(Conf(), 1.5)) == "redis://localhost:6379/0"


def test_the_documented_url() -> None:
    url = "redis://h:asdfqwer1234asdf@ec2-111-1-1-1.compute-1.amazonaws.com:111"
    found = options(url)
    assert (found["username"], found["password"]) == ("h", "asdfqwer1234asdf")
    shown = address(pool(url))
    assert shown == "redis://***@ec2-111-1-1-1.compute-1.amazonaws.com:111/0"


def test_a_url_has_the_last_word() -> None:
    url = "rediss://h/2?socket_timeout=7&protocol=3&decode_responses=yes&charset=ascii"
    found = options(url)
    assert found["socket_timeout"] == 7
    assert int(found["protocol"]) == 3
    assert found["encoding"] == "ascii"
    assert found["decode_responses"] is False
    assert address(pool(url)) == "rediss://h:6379/2"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"hots": "h"}, "unknown option 'hots' - did you mean 'host'"),
        ({"socket_time_out": 3}, "did you mean 'socket_timeout'"),
        ({"connection_pool": None}, "unknown option 'connection_pool'"),
        ("redis://h/0?hots=1", "unknown option 'hots' in the URL"),
        ("http://user:hush@h/0", "is not a URL of Redis"),
        ("redis://user:hush@h:port/0", "is not a URL of Redis"),
    ],
)
def test_a_wrong_option_is_named(open_broker: Open, setting: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        open_broker(setting)
    assert "Q_CLUSTER['redis']" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_url_that_wants_text_gets_bytes(
    redis_server: RedisServer, open_broker: Open
) -> None:
    round_trip(open_broker(redis_server.url() + "?decode_responses=True"))


def test_resp3(redis_server: RedisServer, open_broker: Open) -> None:
    broker = open_broker({"port": redis_server.port, "protocol": 3})
    round_trip(broker)
    assert broker.info().split()[0] in ("Redis", "Valkey")


@pytest.mark.live
def test_a_unix_socket(tmp_path: Path, open_broker: Open) -> None:
    path = str(tmp_path / "redis.sock")
    server = RedisServer("--unixsocket", path, "--unixsocketperm", "777")
    server.start()
    try:
        round_trip(open_broker({"unix_socket_path": path}))
        by_url = open_broker(f"unix://{path}?db=3")
        round_trip(by_url)
        assert address(pool(f"unix://{path}?db=3")) == f"unix://{path}?db=3"
    finally:
        server.close()


def test_django_redis(
    redis_server: RedisServer, open_broker: Open, settings: Settings
) -> None:
    """The connection of a cache serves, though the cache wants text, and is copied."""
    django_redis = pytest.importorskip("django_redis")
    wanted = {"CONNECTION_POOL_KWARGS": {"decode_responses": True}}
    settings.CACHES = {
        "default": {
            "BACKEND": CACHE,
            "LOCATION": redis_server.url(5),
            "OPTIONS": wanted,
        }
    }
    broker = open_broker(django_redis="default")
    round_trip(broker)
    broker.enqueue(b"package")
    with redis.Redis(port=redis_server.port, db=5) as client:
        assert client.xlen(f"{{qcore:{broker.queue}}}:tasks") == 1
    shared = django_redis.get_redis_connection("default").connection_pool
    assert shared.connection_kwargs["decode_responses"] is True
    shared.disconnect()


@pytest.mark.parametrize("alias", ["default", "absent"])
def test_django_redis_of_another_cache(
    open_broker: Open, settings: Settings, alias: str
) -> None:
    pytest.importorskip("django_redis")
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    settings.CACHES = {"default": memory}
    with pytest.raises(ConfigError, match="not the alias of a django-redis cache"):
        open_broker(django_redis=alias)


def test_django_redis_is_not_installed(
    open_broker: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "django_redis", None)
    with pytest.raises(ConfigError, match="pip install"):
        open_broker(django_redis="default")


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ({"redis": {}, "django_redis": "default"}, ["qcore_redis.W001"]),
        ({"redis": {}}, []),
        ({"django_redis": "default"}, []),
        ({"redis": {}, "django_redis": "default", "broker_class": "shop.Own"}, []),
    ],
)
def test_two_ways_to_a_server_are_told(given, ids):
    conf = Conf.from_dict(given, settings=qcore_redis.qcore_settings())
    assert [message.id for message in qcore_redis.qcore_checks(conf)] == ids
