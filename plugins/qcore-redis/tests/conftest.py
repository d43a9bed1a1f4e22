"""What the tests of the Redis broker share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import redis

from qcore.testing.brokers import opened_brokers
from qcore_redis.broker import RedisBroker

if TYPE_CHECKING:
    from servers.redis import RedisServer

#: ``open_broker(setting, **settings)`` returns a broker on a new queue; ``setting`` is
#: the value of 'redis', and ``queue`` names a queue that exists.
Open = Callable[..., RedisBroker]


@pytest.fixture
def open_broker() -> Iterator[Open]:
    """Open brokers and close them after the test."""
    with opened_brokers(RedisBroker) as open_broker:

        def open_one(
            setting: object = None, queue: str = "", **settings: object
        ) -> RedisBroker:
            given = {} if setting is None else {"redis": setting}
            return open_broker({**given, **settings}, queue)

        yield open_one


@pytest.fixture
def admin(own_redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the test's own server, for what an administrator does to it."""
    client = redis.Redis(port=own_redis_server.port)
    yield client
    client.close()
