"""The private servers keep what their base class promises to fault tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import shared_fixtures
from servers.base import (
    LoopbackServer,
    ServerFailed,
    ServerMissing,
    find_program,
    free_port,
)
from servers.mariadb import MariaDBServer
from servers.postgres import PostgresServer
from servers.redis import RedisServer

from qcore.testing.ledger import wait_for
from qcore.testing.speed import stretched

pytestmark = pytest.mark.service

TESTS = Path(__file__).parents[1]


@pytest.fixture(params=[RedisServer, PostgresServer, MariaDBServer])
def server(request: pytest.FixtureRequest) -> Iterator[LoopbackServer]:
    kind: type[LoopbackServer] = request.param
    name = kind.__name__.removesuffix("Server").lower()
    yield from shared_fixtures.run_server(name, kind)


def test_it_is_killed_and_comes_back_on_its_port(server: LoopbackServer) -> None:
    port, first = server.port, server.pid
    server.kill()
    assert not server.answers()

    server.restart()
    wait_for(server.answers, what="an answer")
    assert (server.port, server.pid != first) == (port, True)


def test_paused_it_is_silent_and_then_goes_on(server: LoopbackServer) -> None:
    server.pause()
    assert not server.answers()
    server.resume()
    wait_for(server.answers, what="an answer")


def test_closed_it_leaves_no_folder_and_no_process(server: LoopbackServer) -> None:
    pid = server.pid
    server.close()
    assert not server.folder.exists()
    assert not psutil.pid_exists(pid)
    with pytest.raises(ServerFailed, match="is not running"):
        _ = server.pid


def test_an_appendonly_redis_keeps_its_data_over_a_kill(
    own_redis_server: RedisServer,
) -> None:
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(own_redis_server.url()) as client:
        client.set("kept", "yes")
    own_redis_server.kill()
    own_redis_server.restart()
    with redis.Redis.from_url(own_redis_server.url()) as client:
        assert client.get("kept") == b"yes"


def test_a_server_that_cannot_start_shows_its_log() -> None:
    try:
        server = RedisServer("--no-such-option", "1")
    except ServerMissing as fact:
        shared_fixtures.missing("redis", str(fact))
    with pytest.raises(ServerFailed, match="no-such-option"):
        server.start()
    server.close()


def test_a_killed_test_run_takes_its_server_with_it() -> None:
    """The kernel ends the server when its test run gets SIGKILL (Linux)."""
    if sys.platform != "linux":
        pytest.skip("only Linux can tie a process to its parent")
    script = (
        "from servers.redis import RedisServer\n"
        "server = RedisServer(); server.start()\n"
        "print(server.pid, server.folder, flush=True); input()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    run = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert run.stdout is not None
        words = run.stdout.readline().split()
        if not words:
            shared_fixtures.missing("redis", "redis-server is not installed")
        server = psutil.Process(int(words[0]))
    finally:
        run.kill()
        run.communicate()
    psutil.wait_procs([server], timeout=stretched(5))
    gone = not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    Path(words[1]).joinpath("log").unlink()
    Path(words[1]).rmdir()
    assert gone


def test_a_port_that_was_given_is_given_to_nobody_else() -> None:
    """A server has not started on it yet, or is dead: other test runs leave it alone."""
    port = free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", port))


def test_another_server_on_the_port_is_not_taken_for_this_one(
    redis_server: RedisServer,
) -> None:
    second = RedisServer()
    second.port = redis_server.port
    try:
        with pytest.raises(ServerFailed, match="another server listens"):
            second.start()
    finally:
        second.close()


def test_a_missing_program_is_a_fact_with_a_name() -> None:
    with pytest.raises(ServerMissing, match="no-such-server is not installed"):
        find_program("no-such-server")


def test_missing_skips_at_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QCORE_NEED", "")
    with pytest.raises(pytest.skip.Exception, match="not here"):
        shared_fixtures.missing("redis", "not here")


def test_missing_fails_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QCORE_NEED", "postgres, redis")
    with pytest.raises(pytest.fail.Exception, match="QCORE_NEED has 'redis'"):
        shared_fixtures.missing("redis", "redis-server is not installed")


def test_ci_needs_every_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QCORE_NEED", raising=False)
    monkeypatch.setenv("CI", "true")
    assert shared_fixtures.needed() >= {"redis", "postgres", "mariadb", "moto"}
