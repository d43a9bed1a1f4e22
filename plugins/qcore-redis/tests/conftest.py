"""What the tests of the Redis broker share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import redis

from qcore.conf import Conf
from qcore_redis.broker import RedisBroker

if TYPE_CHECKING:
    from servers.redis import RedisServer

#: ``open_broker(setting, **settings)`` returns a broker on a new queue; ``setting`` is
#: the value of 'redis', and ``queue`` names a queue that exists.
Open = Callable[..., RedisBroker]


@pytest.fixture
def open_broker() -> Iterator[Open]:
    """Open brokers and close them after the test."""
    opened: list[RedisBroker] = []

    def open_one(
        setting: object = None, queue: str = "", **settings: object
    ) -> RedisBroker:
        options = {**settings} if setting is None else {"redis": setting, **settings}
        name = queue or f"redis-{secrets.token_hex(6)}"
        opened.append(RedisBroker(Conf.from_dict(options), name))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def admin(own_redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the test's own server, for what an administrator does to it."""
    client = redis.Redis(port=own_redis_server.port)
    yield client
    client.close()
