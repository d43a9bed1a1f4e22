"""The test server says what a real Disque 1.0-rc1 was seen to say.

``QCORE_DISQUE_NODES`` asks a real one (its first node, without a password) instead.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import redis

from qcore.testing.speed import begun_again_when_late, in_time, must_precede

if TYPE_CHECKING:
    from servers.disque import DisqueServer

Ask = Callable[..., object]
UNKNOWN = "D-00000000-AAAAAAAAAAAAAAAAAAAAAAAA-05a1"
NODES = os.environ.get("QCORE_DISQUE_NODES", "")
needs_lone_server = pytest.mark.skipif(bool(NODES), reason="changes the whole node")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> tuple[str, int]:
    if NODES:
        host, _, port = NODES.split(",")[0].strip().rpartition(":")
        return host, int(port)
    server: DisqueServer = request.getfixturevalue("disque_server")
    return server.host, server.port


@pytest.fixture
def ask(place: tuple[str, int]) -> Iterator[Ask]:
    with redis.Redis(*place, protocol=2) as client:
        yield client.execute_command


@pytest.fixture
def raw(place: tuple[str, int]) -> Iterator[Callable[[str], bytes]]:
    """Send a line as it would be typed, and return the first line of the reply."""
    with socket.create_connection(place, 10) as wire, wire.makefile("rb") as replies:

        def send(line: str) -> bytes:
            wire.sendall(line.encode() + b"\r\n")
            return replies.readline()

        yield send


@pytest.fixture
def queue() -> str:
    return f"protocol-{secrets.token_hex(6)}"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("PING", "+PONG"),
        ("ping hi", "$2"),
        ("HELLO", "*3"),
        ("HELLO 3", "-ERR wrong number of arguments for 'hello' command"),
        ("SELECT 1", "-ERR unknown command 'SELECT'"),
        ("MULTI", "-ERR unknown command 'MULTI'"),
        ("FLUSHALL", "-ERR unknown command 'FLUSHALL'"),
        ("QLEN", "-ERR wrong number of arguments for 'qlen' command"),
        ("AUTH x", "-ERR Client sent AUTH, but no password is set"),
        ("AUTH user pw", "-ERR wrong number of arguments for 'auth' command"),
        ("CLIENT SETNAME me", "+OK"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETINFO LIB-NAME x", "-ERR Syntax error, try CLIENT (LIST | KILL"),
        ("CLIENT ID", "-ERR Syntax error, try CLIENT (LIST | KILL"),
        ("ADDJOB q b", "-ERR wrong number of arguments for 'addjob' command"),
        ("ADDJOB q b 0 SOON", "-ERR syntax error"),
        ("ADDJOB q b soon", "-ERR timeout is not an integer or out of range"),
        ("ADDJOB q b 0 TTL 0", "-ERR TTL must be a number > 0"),
        ("ADDJOB q b 0 RETRY -1", "-ERR RETRY time must be a non negative number"),
        ("ADDJOB q b 0 MAXLEN 0", "-ERR MAXLEN must be a positive number"),
        ("ADDJOB q b 0 DELAY 9 TTL 5", "-ERR The specified DELAY is greater than TTL."),
        ("GETJOB NOHANG", "-ERR syntax error"),
        ("GETJOB NOHANG FROM", "-ERR syntax error"),
        ("GETJOB NOW FROM q", "-ERR syntax error"),
        ("GETJOB COUNT 0 FROM q", "-ERR COUNT must be a number greater than zero"),
        ("GETJOB TIMEOUT -5 FROM q", "-ERR timeout is negative"),
        ("GETJOB NOHANG FROM never-used", "*-1"),
        ("GETJOB TIMEOUT 1 FROM never-used", "*-1"),
        ("ACKJOB", ":0"),
        (f"ACKJOB {UNKNOWN}", ":0"),
        (f"FASTACK {UNKNOWN}", ":0"),
        (f"DELJOB {UNKNOWN}", ":0"),
        (f"NACK {UNKNOWN}", ":0"),
        (f"ENQUEUE {UNKNOWN}", ":0"),
        (f"DEQUEUE {UNKNOWN}", ":0"),
        (f"ACKJOB {UNKNOWN} none", "-BADID Invalid Job ID format."),
        ("SHOW none", "-BADID Invalid Job ID format."),
        ("WORKING none", "-BADID Invalid Job ID format."),
        (f"SHOW {UNKNOWN}", "$-1"),
        (f"WORKING {UNKNOWN}", "-NOJOB Job not known in the context of this node."),
        ("QLEN never-used-either", ":0"),
        ("QSTAT never-heard-of", "*-1"),
        ("JSCAN 0 STATE asleep", "-ERR Invalid job state name"),
        ("PAUSE protocol state", "+none"),
        ("TIME", "*2"),
    ],
)
def test_replies(raw: Callable[[str], bytes], line: str, reply: str) -> None:
    assert raw(line).decode().startswith(reply)


def test_the_id_of_a_job(ask: Ask, raw: Callable[[str], bytes], queue: str) -> None:
    _, node, *_ = ask("HELLO")  # type: ignore[misc]
    for words, end in (
        ("", "05a1"),
        ("TTL 3600", "003d"),
        ("RETRY 0", "05a0"),
        ("TTL 99999999", "ffff"),
    ):
        simple = raw(f"ADDJOB {queue} b 0 REPLICATE 1 {words}").decode().strip()
        form = rf"\+D-{node[:8].decode()}-[A-Za-z0-9+/]{{24}}-{end}"
        assert re.fullmatch(form, simple)
        assert len(simple) == 41  # 40, and the plus
    ask("ACKJOB", *(job[1] for job in ask("GETJOB", "COUNT", 4, "FROM", queue)))


def test_a_body_is_any_bytes(ask: Ask, queue: str) -> None:
    body = bytes(range(256)) + b"\r\n"
    id = ask("ADDJOB", queue, body, 0)
    assert ask("QPEEK", queue, 1) == [[queue.encode(), id, body]]
    assert ask("GETJOB", "FROM", queue) == [[queue.encode(), id, body]]
    assert ask("ACKJOB", id) == 1
    assert ask("ACKJOB", id) == 0


def test_old_jobs_come_first(ask: Ask, queue: str) -> None:
    """A nacked one goes back to its old place; several queues go from left to right."""
    other = f"{queue}-2"
    ids = [ask("ADDJOB", queue, body, 0) for body in "abc"]
    ids.append(ask("ADDJOB", other, "d", 0))
    words = ("NOHANG", "COUNT", 9, "WITHCOUNTERS", "FROM", other, queue)
    claimed = ask("GETJOB", *words)
    assert [job[2] for job in claimed] == [b"d", b"a", b"b", b"c"]
    assert [job[3:] for job in claimed] == [
        [b"nacks", 0, b"additional-deliveries", 0]
    ] * 4
    assert ask("NACK", ids[1], ids[0], UNKNOWN) == 2
    assert ask("NACK", ids[1]) == 0, "it waits already"
    assert [job[2] for job in ask("QPEEK", queue, -2)] == [b"b", b"a"]
    assert [job[2:5] for job in ask("GETJOB", *words)] == [
        [b"a", b"nacks", 1],
        [b"b", b"nacks", 1],
    ]
    assert ask("DELJOB", *ids) == 4


class TestTimes:
    """What must be asked before a time is over, which a slow machine may miss."""

    stretch = 1.0

    @begun_again_when_late
    def test_jobs_come_back(self, ask: Ask, queue: str) -> None:
        """About when RETRY is over, counted from when they were queued."""
        retry, own = int(self.stretch), f"{queue}-{self.stretch}"
        id = ask("ADDJOB", own, "b", 0, "RETRY", retry)
        queued = time.monotonic()
        ask("GETJOB", "FROM", own)
        times = []
        for number in (1, 2):
            words = ("TIMEOUT", 5000 * retry, "WITHCOUNTERS", "FROM", own)
            job = ask("GETJOB", *words)
            assert job[0][3:] == [b"nacks", 0, b"additional-deliveries", number]
            now = time.monotonic()
            times.append(now - queued)
            queued = now
        assert all(seconds > 0.45 * retry for seconds in times)
        queued = time.monotonic()
        ask("NACK", id)
        ask("GETJOB", "FROM", own)
        working = ask("WORKING", id)
        must_precede(queued + 0.45 * retry, "the end of RETRY")
        assert working == retry
        assert ask("ACKJOB", id) == 1

    @begun_again_when_late
    def test_the_second_half_of_a_life(self, ask: Ask, queue: str) -> None:
        ttl = int(8 * self.stretch)
        added = time.monotonic()
        id = ask("ADDJOB", f"{queue}-{ttl}", "b", 0, "TTL", ttl)
        working = ask("WORKING", id)
        must_precede(added + ttl / 2, "the second half")
        assert working > 0
        time.sleep(ttl / 2 + 0.1)
        with pytest.raises(redis.ResponseError) as raised:
            ask("WORKING", id)
        must_precede(added + ttl, "the end of the job")
        assert str(raised.value).startswith("TOOLATE Half of job TTL")


def test_at_most_once(ask: Ask, queue: str) -> None:
    id = ask("ADDJOB", queue, "b", 0, "REPLICATE", 1, "RETRY", 0)
    ask("GETJOB", "FROM", queue)
    assert ask("GETJOB", "TIMEOUT", 300, "FROM", queue) is None
    assert ask("NACK", id) == 0
    ask("DELJOB", id)


def test_delay_and_the_end_of_a_job(ask: Ask, queue: str) -> None:
    sent = time.monotonic()
    id = ask("ADDJOB", queue, "b", 0, "DELAY", 1, "TTL", 8, "RETRY", 1)
    assert ask("QLEN", queue) == 0
    assert ask("JSCAN", 0, "BUSYLOOP", "QUEUE", queue, "STATE", "active")[1] == [id]
    shown = ask("SHOW", id)
    assert (len(shown), shown[5], shown[13]) == (30, b"active", 1)
    assert ask("GETJOB", "TIMEOUT", 5000, "FROM", queue)
    assert time.monotonic() - sent >= 0.99
    while ask("SHOW", id) is not None:
        assert in_time(time.monotonic() - sent, 20), (
            "its TTL is over, and it is still there"
        )
        time.sleep(0.05)
    assert time.monotonic() - sent >= 1


def test_a_new_job_wakes_the_waiting_in_their_order(
    place: tuple[str, int], ask: Ask, queue: str
) -> None:
    with redis.Redis(*place, protocol=2) as one, redis.Redis(*place, protocol=2) as two:
        wires = [client.connection_pool.get_connection() for client in (one, two)]
        for number, wire in enumerate(wires, 1):
            wire.send_command("GETJOB", "FROM", queue)
            while dict(_pairs(ask("QSTAT", queue) or [])).get(b"blocked") != number:
                time.sleep(0.01)
        for body in (b"first", b"second"):
            ask("ADDJOB", queue, body, 0)
        assert [wire.read_response()[0][2] for wire in wires] == [b"first", b"second"]
        for wire in wires:
            wire.disconnect()


def _pairs(reply: list[object]) -> list[tuple[object, object]]:
    return list(zip(reply[::2], reply[1::2], strict=True))


def test_maxlen(ask: Ask, queue: str) -> None:
    ask("ADDJOB", queue, "b", 0, "MAXLEN", 1)
    with pytest.raises(redis.ResponseError, match=r"^MAXLEN Queue is already longer"):
        ask("ADDJOB", queue, "b", 0, "MAXLEN", 1)


def test_a_paused_queue(ask: Ask, queue: str) -> None:
    ask("ADDJOB", queue, "b", 0)
    assert ask("PAUSE", queue, "all") == b"all"
    with pytest.raises(redis.ResponseError, match=r"^PAUSED Queue paused in input"):
        ask("ADDJOB", queue, "b", 0)
    assert ask("GETJOB", "TIMEOUT", 200, "FROM", queue) is None
    assert ask("PAUSE", queue, "none") == b"none"
    assert ask("GETJOB", "NOHANG", "FROM", queue)


@needs_lone_server
def test_a_lone_node_has_no_copies(ask: Ask, queue: str) -> None:
    with pytest.raises(redis.ResponseError, match=r"^NOREPL Not enough reachable"):
        ask("ADDJOB", queue, "b", 100, "REPLICATE", 2)


@needs_lone_server
def test_a_password(own_disque_server: DisqueServer, admin: redis.Redis) -> None:
    """It locks out who has not logged in, and PING and HELLO need it."""
    admin.execute_command("CONFIG", "SET", "requirepass", "pw")
    with socket.create_connection(("127.0.0.1", own_disque_server.port)) as wire:
        lines = wire.makefile("rb")
        for line, reply in (
            (b"PING", b"-NOAUTH Authentication required.\r\n"),
            (b"HELLO", b"-NOAUTH Authentication required.\r\n"),
            (b"AUTH bad", b"-ERR invalid password\r\n"),
            (b"AUTH pw", b"+OK\r\n"),
            (b"PING", b"+PONG\r\n"),
            (b"CONFIG SET requirepass other", b"+OK\r\n"),
            (b"PING", b"+PONG\r\n"),
        ):
            wire.sendall(line + b"\r\n")
            assert lines.readline() == reply
        lines.close()
    with pytest.raises(redis.AuthenticationError):
        admin.ping()


@needs_lone_server
def test_jobs_outlive_a_kill_but_queues_do_not(
    own_disque_server: DisqueServer, queue: str
) -> None:
    with redis.Redis(port=own_disque_server.port, protocol=2) as client:
        done, *ids = [
            client.execute_command("ADDJOB", queue, "b", 0, "RETRY", 2)
            for _ in range(3)
        ]
        client.execute_command("ACKJOB", done)
    own_disque_server.kill()
    own_disque_server.restart()
    with redis.Redis(port=own_disque_server.port, protocol=2) as client:
        assert client.execute_command("QLEN", queue) == 0
        cursor, found = client.execute_command("JSCAN", 0, "STATE", "active")
        assert (cursor, sorted(found)) == (b"0", sorted(ids))
        words = ("TIMEOUT", 9000, "WITHCOUNTERS", "FROM", queue)
        (job,) = client.execute_command("GETJOB", *words)
        assert job[3:] == [b"nacks", 0, b"additional-deliveries", 1]


def test_resp3_is_refused(place: tuple[str, int]) -> None:
    """What redis-py 8 does unless told otherwise; so the broker tells it."""
    told = pytest.raises(redis.ResponseError, match="'hello' command")
    with redis.Redis(*place, protocol=3) as client, told:
        client.ping()
