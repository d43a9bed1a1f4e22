"""What the tests of the Disque broker share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from servers.disque import PASSWORD, DisqueServer
from shared_fixtures import run_server

from qcore.testing.brokers import opened_brokers
from qcore_disque import qcore_settings
from qcore_disque.broker import DisqueBroker

#: ``open_broker(*nodes, queue="", **settings)`` returns a broker, on a new queue
#: unless one is named.
Open = Callable[..., DisqueBroker]


@pytest.fixture
def open_broker() -> Iterator[Open]:
    """Open brokers and close them after the test."""
    with opened_brokers(DisqueBroker, qcore_settings()) as open_broker:

        def open_one(*nodes: str, queue: str = "", **settings: object) -> DisqueBroker:
            return open_broker({"disque_nodes": list(nodes), **settings}, queue)

        yield open_one


@pytest.fixture(scope="module")
def durable_server() -> Iterator[DisqueServer]:
    """A node with a password that keeps its jobs over a restart."""

    def make() -> DisqueServer:
        return DisqueServer("--requirepass", PASSWORD, appendonly=True)

    yield from run_server("disque", make)


@pytest.fixture
def admin(own_disque_server: DisqueServer) -> Iterator[redis.Redis]:
    """A client of the test's own node, for what an administrator does to it."""
    with redis.Redis(port=own_disque_server.port, protocol=2) as client:
        yield client
