"""Connections that another thread cuts, for their server does not answer."""

from __future__ import annotations

import socket
import threading

import pytest
from django.db.backends.signals import connection_created

from qcore.cluster.hung_connections import HungConnections


class ByNumber:
    """A connection as of psycopg: it tells its descriptor while it is open."""

    def __init__(self, own):
        self.own = own

    def fileno(self):
        number = self.own.fileno()
        if number < 0:
            raise OSError("the connection is closed")
        return number


class BySocket:
    """A connection as of PyMySQL."""

    def __init__(self, own):
        self._sock = own


@pytest.fixture
def line():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


@pytest.fixture
def hung():
    hung = HungConnections()
    yield hung
    connection_created.disconnect(hung._note)


class Wrapper:
    """A connection of Django."""

    def __init__(self, connection):
        self.connection = connection


def opened(connection):
    """Tell of a connection, as Django does in the thread that opens it."""
    wrapper = Wrapper(connection)
    for receiver in connection_created._live_receivers(Wrapper)[0]:
        if isinstance(getattr(receiver, "__self__", None), HungConnections):
            receiver(connection=wrapper)
    return wrapper


@pytest.mark.fault("E20")
@pytest.mark.parametrize("kind", [ByNumber, BySocket])
def test_a_thread_that_waits_for_its_server_gets_an_end(kind, line):
    ready, found, made = threading.Event(), [], []

    def wait():
        made.append(HungConnections())
        made.append(opened(kind(line)))
        ready.set()
        found.append(line.recv(1))

    thread = threading.Thread(target=wait)
    thread.start()
    assert ready.wait(60)
    assert made[0].cut() == 1
    thread.join(60)
    assert found == [b""]
    connection_created.disconnect(made[0]._note)


@pytest.mark.parametrize("kind", [ByNumber, BySocket])
def test_a_connection_that_is_closed_is_no_cut(kind, line, hung):
    opened(kind(line))
    line.close()
    assert hung.cut() == 0


def test_a_connection_without_a_socket_is_no_cut(hung):
    """As of SQLite, and one that is not open."""
    opened(object())
    opened(None)
    assert hung.cut() == 0


def test_connections_of_other_threads_are_left_alone(line, hung):
    kept = []
    thread = threading.Thread(target=lambda: kept.append(opened(ByNumber(line))))
    thread.start()
    thread.join(60)
    assert hung.cut() == 0
    assert kept
