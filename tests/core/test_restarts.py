"""A `restart_service` that restarts nothing proves nothing, and the kit says so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from qcore import Conf
from qcore.brokers.memory import MemoryBroker
from qcore.errors import BrokerUnavailable
from qcore.testing import speed
from qcore.testing.contracts import restarts
from qcore.testing.contracts.restarts import restart


class Service:
    """Accepts connections and keeps them; `restart` ends them all."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []

    def accept(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        self.open.append(self.listener.accept()[0])
        return client

    def restart(self, last_words: bytes = b"") -> None:
        for one in self.open:
            one.sendall(last_words)
            one.close()
        self.open.clear()


class Away(MemoryBroker):
    def ping(self) -> bool:
        raise BrokerUnavailable("nobody answers. Check Q_CLUSTER.")


def connect(kind: type[MemoryBroker] = MemoryBroker) -> MemoryBroker:
    return kind(Conf.from_dict({}))


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.restart()
    service.listener.close()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    """Leave out what else this process is connected to, such as a database."""
    monkeypatch.setattr(speed, "MOST", 1.0)
    monkeypatch.setattr(restarts, "_SEEN", 0.2)  # for those in which nothing ends
    every = restarts._connection

    def ours(descriptor: int) -> socket.socket | None:
        copy = every(descriptor)
        if copy is None or service.port in (copy.getpeername()[1], None):
            return copy
        copy.close()
        return None

    monkeypatch.setattr(restarts, "_connection", ours)


@pytest.mark.parametrize("last_words", [b"", b"FATAL: terminating connection"])
def test_a_connection_that_ends_is_evidence(
    service: Service, last_words: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(restarts, "_SEEN", 60.0)
    with service.accept():
        restart(lambda kill: service.restart(last_words), True, connect)


def test_a_restart_that_does_nothing_is_told(service: Service):
    with (
        service.accept(),
        pytest.raises(pytest.fail.Exception, match="has restarted nothing: every conn"),
    ):
        restart(lambda kill: None, True, connect)


def test_the_connection_may_end_a_moment_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(restarts, "_SEEN", 60.0)
    with service.accept():
        later = threading.Timer(0.05, service.restart)
        restart(lambda kill: later.start(), True, connect)
        later.join()


def test_without_a_connection_a_restart_must_be_seen_otherwise():
    with pytest.raises(pytest.fail.Exception, match="Have it return a context manager"):
        restart(lambda kill: None, True, connect)


def test_away_within_the_block_is_evidence():
    steps = []

    @contextmanager
    def away(kill: bool) -> Iterator[None]:
        steps.append(f"away {kill}")
        yield
        steps.append("back")

    restart(away, False, lambda: connect(Away))
    assert steps == ["away False", "back"]


def test_who_answers_within_the_block_is_not_away():
    @contextmanager
    def present(kill: bool) -> Iterator[None]:
        yield

    with pytest.raises(pytest.fail.Exception, match="still answers within the `with`"):
        restart(present, True, connect)


def test_no_connection_of_the_process_is_harmed(service: Service):
    """The copies share their flags with the connection of a driver."""
    with service.accept() as client:
        client.setblocking(True)
        service.open[0].sendall(b"unread")
        with pytest.raises(pytest.fail.Exception):
            restart(lambda kill: None, True, connect)
        assert client.getblocking()
        assert client.recv(6) == b"unread"
