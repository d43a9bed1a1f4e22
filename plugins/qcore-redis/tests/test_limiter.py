"""The limiter on Redis: what every limiter promises, and what is Redis's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis

from qcore.conf import Conf
from qcore.errors import BrokerError, BrokerUnavailable, ConfigError
from qcore_redis import qcore_settings
from qcore_redis.errors import PERMISSIONS
from qcore_redis.limiter import RedisLimiter

testing = pytest.importorskip("qcore_limits.testing")

if TYPE_CHECKING:
    from servers.redis import RedisServer

Make = Callable[..., RedisLimiter]


@pytest.fixture
def make(redis_server: RedisServer) -> Iterator[Make]:
    """Return a function that makes limiters, on one server unless settings say otherwise."""
    made = []

    def make_one(**settings: Any) -> RedisLimiter:
        given = {"redis": redis_server.url()} | settings
        made.append(RedisLimiter(Conf.from_dict(given, settings=qcore_settings())))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


class TestContract(testing.LimiterContract):  # type: ignore[misc]
    """On a real server."""

    @pytest.fixture(autouse=True)
    def _make(self, make: Make) -> None:
        self.make_limiter = make


bucket = testing.LimiterContract.bucket


def test_many_clusters_draw_no_more_than_there_is(make: Make) -> None:
    asked = bucket(burst=100, most=3)
    begin = threading.Barrier(4)
    taken = []

    def draw() -> None:
        limiter = make()
        begin.wait(timeout=60)
        for _ in range(20):
            (found,) = limiter.draw([asked])
            taken.append(min(3, int(found + 1e-3)))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), sum(taken)) == (80, 100)


def test_a_bucket_expires_when_it_is_full_again(
    make: Make, redis_server: RedisServer
) -> None:
    limiter, asked = make(name="shop"), bucket(burst=5, most=2)
    limiter.draw([asked])
    with redis.Redis(port=redis_server.port) as client:
        key = f"{{qcore:limits:shop}}:{asked.key}"
        assert 7000 <= client.ttl(key) <= 7201
        limiter.draw([asked._replace(most=1)])
        assert 10_600 <= client.ttl(key) <= 10_801
        # a look makes nothing
        other = bucket()
        limiter.draw([other])
        assert not client.exists(f"{{qcore:limits:shop}}:{other.key}")


def test_projects_of_other_names_have_buckets_of_their_own(make: Make) -> None:
    asked = bucket(most=5)
    assert make(name="shop").draw([asked]) == [5]
    assert make(name="blog").draw([asked]) == [5]
    assert make(name="shop").draw([asked])[0] < 1


def test_a_server_of_its_own(make: Make, redis_server: RedisServer) -> None:
    limiter = make(redis="redis://127.0.0.1:1/0", redis_limiter=redis_server.url(3))
    assert limiter.draw([bucket()]) == [5]
    wrong = make(redis_limiter="redis://u:canary@127.0.0.1:1/0")
    with pytest.raises(BrokerUnavailable, match="redis_limiter") as caught:
        wrong.draw([bucket()])
    assert "canary" not in str(caught.value)
    with pytest.raises(BrokerUnavailable, match=r"Q_CLUSTER\['redis'\]"):
        make(redis="redis://127.0.0.1:1/0").draw([bucket()])


@pytest.mark.parametrize("value", [7, "", [], True])
def test_a_setting_that_names_no_server(make: Make, value: object) -> None:
    with pytest.raises(ConfigError, match="'redis_limiter'"):
        make(redis_limiter=value)


def test_an_option_that_is_unknown(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"Q_CLUSTER\['redis_limiter'\].*'hosst'"):
        make(redis_limiter={"hosst": "x"})


def test_what_somebody_else_has_under_a_key(
    make: Make, redis_server: RedisServer
) -> None:
    limiter, asked = make(name="shop"), bucket(most=1)
    with redis.Redis(port=redis_server.port) as client:
        key = f"{{qcore:limits:shop}}:{asked.key}"
        client.set(key, "x", ex=60)
        with pytest.raises(BrokerError, match="another kind of value"):
            limiter.draw([asked])
        client.delete(key)
        # a bucket that somebody has written by hand counts as new
        client.hset(key, mapping={"starts": "many", "at": "-"})
        client.expire(key, 60)
        assert limiter.draw([asked]) == [5]


def test_a_user_with_the_rights_of_the_manual(
    make: Make, redis_server: RedisServer
) -> None:
    with redis.Redis(port=redis_server.port) as client:
        rights = ("reset", "on", ">pw", *PERMISSIONS.split())
        client.execute_command("ACL", "SETUSER", "limits", *rights)
        try:
            limiter = make(
                redis=f"redis://limits:pw@127.0.0.1:{redis_server.port}/0", name="shop"
            )
            asked = bucket(most=2)
            assert limiter.draw([asked]) == [5]
            limiter.give_back({asked.key: 2})
            assert limiter.draw([asked]) == [5]
        finally:
            client.execute_command("ACL", "DELUSER", "limits")


@pytest.mark.fault("L13")
def test_a_server_that_was_away_is_asked_again(own_redis_server: RedisServer) -> None:
    conf = Conf.from_dict({"redis": own_redis_server.url()}, settings=qcore_settings())
    limiter, asked = RedisLimiter(conf), bucket(most=2)
    assert limiter.draw([asked]) == [5]
    own_redis_server.kill()
    with pytest.raises(BrokerUnavailable):
        limiter.draw([asked])
    own_redis_server.start()
    # as it had written it
    assert 3 <= limiter.draw([asked])[0] < 4
    limiter.close()
