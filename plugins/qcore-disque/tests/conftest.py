"""What the tests of the Disque broker share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import redis

import qcore_disque
from qcore.conf import Conf
from qcore_disque.broker import DisqueBroker

if TYPE_CHECKING:
    from servers.disque import DisqueServer

#: ``open_broker(*nodes, queue="", **settings)`` returns a broker, on a new queue
#: unless one is named.
Open = Callable[..., DisqueBroker]


@pytest.fixture
def open_broker() -> Iterator[Open]:
    """Open brokers and close them after the test."""
    opened: list[DisqueBroker] = []

    def open_one(*nodes: str, queue: str = "", **settings: object) -> DisqueBroker:
        options = {"disque_nodes": list(nodes), **settings}
        name = queue or f"disque-{secrets.token_hex(6)}"
        conf = Conf.from_dict(options, settings=qcore_disque.qcore_settings())
        opened.append(DisqueBroker(conf, name))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def admin(own_disque_server: DisqueServer) -> Iterator[redis.Redis]:
    """A client of the test's own node, for what an administrator does to it."""
    with redis.Redis(port=own_disque_server.port, protocol=2) as client:
        yield client
