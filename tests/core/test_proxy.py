"""The proxy that fault tests stand on does what its table says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from qcore.testing.proxy import FaultProxy
from qcore.testing.speed import Patience


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends every piece back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(end: socket.socket) -> None:
        with end:
            try:
                while piece := end.recv(65536):
                    end.sendall(piece)
            except OSError:
                return  # reset by the proxy, as the test wants

    def accept() -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(end,), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    acceptor.join()
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[FaultProxy]:
    with FaultProxy(echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    """A client that has already had one answer through the proxy."""
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        assert ask(client, b"hello") == b"hello"
        yield client


def ask(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return read(client, len(words))


def read(client: socket.socket, size: int) -> bytes:
    """Read ``size`` bytes; fewer only at the end of the stream."""
    got = b""
    while len(got) < size and (piece := client.recv(size - len(got))):
        got += piece
    return got


def test_pass_carries_more_than_one_buffer(client: socket.socket) -> None:
    words = bytes(range(256)) * 400  # 100 kB

    sender = threading.Thread(target=client.sendall, args=(words,))
    sender.start()
    answer = read(client, len(words))
    sender.join()

    assert answer == words


def test_refuse_resets_and_refuses_until_it_passes_again(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("refuse")

    assert proxy.connections == 0
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), 5)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", proxy.port))  # nobody is given the port meanwhile

    proxy.fault("pass")
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as second:
        assert ask(second, b"again") == b"again"


def test_black_hole_holds_bytes_and_delivers_them_later(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("black-hole")
    client.sendall(b"lost?")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)

    proxy.fault("pass")
    client.settimeout(5)
    assert read(client, 5) == b"lost?"


def test_black_hole_accepts_new_connections_and_says_nothing(
    proxy: FaultProxy,
) -> None:
    proxy.fault("black-hole")
    with socket.create_connection(("127.0.0.1", proxy.port), 0.2) as client:
        client.sendall(b"anybody?")
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_hold_lets_requests_through_and_keeps_replies(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("hold")
    client.sendall(b"asked")
    proxy.wait_for_held()  # so the server has had it, and answered
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)

    proxy.fault("pass")
    client.settimeout(5)
    assert read(client, 5) == b"asked"


def test_delay_holds_each_piece_for_its_time(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("delay", 0.1)
    began = time.monotonic()
    assert ask(client, b"slow") == b"slow"
    assert time.monotonic() - began >= 0.2  # once on the way there, once back


def test_throttle_spreads_bytes_over_time(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("throttle", 2_000)  # bytes per second
    began = time.monotonic()
    assert ask(client, b"x" * 500) == b"x" * 500
    assert time.monotonic() - began >= 0.25


def test_a_throttled_piece_goes_on_when_the_mode_changes(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("throttle", 1)  # a byte per second: 1 kB would take a quarter hour
    client.sendall(b"y" * 1_000)
    proxy.fault("pass")
    assert read(client, 1_000) == b"y" * 1_000


def test_cut_lets_exactly_the_amount_through(
    proxy: FaultProxy, client: socket.socket
) -> None:
    # Ten bytes go to the server, three of its ten come back.
    proxy.fault("cut", 13)
    client.sendall(b"0123456789")

    got = b""
    with pytest.raises(ConnectionResetError):
        while piece := client.recv(64):
            got += piece

    assert b"012".startswith(got)  # a reset may overtake the last bytes
    assert _settles(lambda: proxy.connections == 0)


def test_half_close_ends_replies_and_still_takes_requests(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("half-close")
    assert client.recv(1) == b""
    client.sendall(b"does not raise")
    assert proxy.connections == 1


def test_corrupt_turns_one_bit_of_one_reply_byte(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.fault("corrupt", 2)
    assert ask(client, b"aaaaa") == b"aa`aa"
    assert ask(client, b"aaaaa") == b"aaaaa"


def test_a_missing_upstream_resets_the_client() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with (
            FaultProxy(nobody.getsockname()[1]) as proxy,
            pytest.raises(ConnectionResetError),
            socket.create_connection(("127.0.0.1", proxy.port), 5) as client,
        ):
            client.recv(1)


def test_an_unknown_mode_is_refused(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="unknown mode 'blackhole'"):
        proxy.fault("blackhole")  # type: ignore[arg-type]


def test_close_leaves_no_thread(echo: int) -> None:
    with FaultProxy(echo) as proxy:
        for mode in ("black-hole", "delay"):
            proxy.fault(mode, 60)
            socket.create_connection(("127.0.0.1", proxy.port), 5).close()

    def gone() -> bool:
        return not [t for t in threading.enumerate() if "fault-proxy" in t.name]

    assert _settles(gone)


def _settles(condition: object, seconds: float = 5) -> bool:
    """Poll a condition that another thread makes true."""
    assert callable(condition)
    patience = Patience(seconds)
    while not condition():
        if patience.is_over():
            return False
        time.sleep(0.01)
    return True
