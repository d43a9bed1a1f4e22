"""A TCP proxy on loopback that misbehaves when a test tells it to.

::

    from qcore.testing.proxy import FaultProxy

    with FaultProxy(server.port) as proxy:
        client = connect(proxy.port)
        proxy.fault("black-hole")      # a silent partition
        ...
        proxy.fault("pass")            # the partition heals; held bytes arrive

=============  =============================  =======================================
mode           amount                         what the two ends see
=============  =============================  =======================================
``pass``       -                              a wire
``refuse``     -                              connection refused; open ones are reset
``black-hole`` -                              silence; bytes are held, not lost
``hold``       -                              requests arrive; replies are held, not
                                              lost (see ``wait_for_held``)
``delay``      seconds per piece              everything arrives, late
``throttle``   bytes per second               everything arrives, slowly
``cut``        bytes still let through        then both ends are reset
``half-close`` -                              the client reads the end of the stream;
                                              what it sends still arrives
``corrupt``    offset of a byte of replies    that byte comes with one bit turned
=============  =============================  =======================================

A mode holds for connections that are open and for new ones, until the next call of
``fault``. ``cut`` and ``corrupt`` count from that call, over all connections.
"""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import Literal, Self, get_args

Mode = Literal[
    "pass",
    "refuse",
    "black-hole",
    "hold",
    "delay",
    "throttle",
    "cut",
    "half-close",
    "corrupt",
]
# Linger for zero seconds: closing then sends a reset, not an orderly end.
RESET = struct.pack("ii", 1, 0)
PIECE = 16 * 1024  # bytes read at once
#: Seconds that a reset waits for a thread that sends to somebody who reads nothing.
_TO_LET_GO = 5.0


class FaultProxy:
    """Listens on a free port and passes bytes to another one.

    Args:
        upstream: the port that it passes bytes to, on 127.0.0.1.
        host: the address that it listens on.
    """

    def __init__(self, upstream: int, host: str = "127.0.0.1") -> None:
        self._upstream = upstream
        self._host = host
        self._changed = threading.Condition()
        self._mode: Mode = "pass"
        self._amount = 0.0
        self._passed = 0
        self._held = 0  # replies that wait in the mode `hold`
        self._epoch = 0
        self._closed = False
        self._pairs: set[_Pair] = set()
        self._listener: socket.socket | None = None
        # holds the port where nobody listens on it, or another process could be given it
        self._kept: socket.socket | None = None
        listener = socket.create_server((host, 0))
        self.port = int(listener.getsockname()[1])
        self._listen(listener)

    def fault(self, mode: Mode, amount: float = 0) -> None:
        """Switch to ``mode`` now; see the table above for ``amount``.

        When ``refuse`` returns, every connection has been reset.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"unknown mode {mode!r}; one of {get_args(Mode)}")
        with self._changed:
            self._mode, self._amount, self._passed = mode, amount, 0
            self._epoch += 1
            self._changed.notify_all()
            pairs = list(self._pairs)
        if mode == "refuse":
            self._stop_listening()
            self._reset_all()
        elif self._kept is not None:
            kept, self._kept = self._kept, None
            kept.listen()
            self._listen(kept)
        if mode == "half-close":
            for pair in pairs:
                pair.end_replies()

    def wait_for_held(self) -> None:
        """Wait until a reply is held in the mode ``hold``, or the proxy is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._held > 0)

    @property
    def connections(self) -> int:
        """How many connections are open through the proxy."""
        with self._changed:
            return len(self._pairs)

    def close(self) -> None:
        """Reset every connection and stop listening; safe to call again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._stop_listening()
        self._reset_all()
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _listen(self, listener: socket.socket) -> None:
        self._listener = listener
        self._acceptor = threading.Thread(
            target=self._accept, args=(listener,), name="fault-proxy", daemon=True
        )
        self._acceptor.start()

    def _stop_listening(self) -> None:
        if self._listener is None:
            return
        # A blocked accept() keeps the port open on Linux; shutdown() wakes it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._listener = None
        # bound, and not listening: who connects is refused
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind((self._host, self.port))

    def _reset_all(self) -> None:
        """Reset what is open, where nothing new is accepted any more."""
        with self._changed:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        for pair in pairs:  # the system sends no reset while a thread uses the socket
            for pump in pair.pumps:
                pump.join(_TO_LET_GO)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:
                _reset(client)
                continue
            pair = _Pair(client, server)
            pair.pumps = [
                threading.Thread(
                    target=self._pump,
                    args=(pair, source, sink),
                    name="fault-proxy-pump",
                    daemon=True,
                )
                for source, sink in ((client, server), (server, client))
            ]
            with self._changed:
                self._pairs.add(pair)
                born_half_closed = self._mode == "half-close"
            if born_half_closed:
                pair.end_replies()
            for pump in pair.pumps:
                pump.start()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        """Carry bytes one way until the source ends or the connection is reset."""
        try:
            while piece := source.recv(PIECE):
                self._carry(pair, piece, sink)
            self._hold()  # in a black hole the end of a stream is not seen either
            pair.end(sink)
        except OSError:
            pair.reset()
        if pair.one_way_done():
            pair.reset()
            with self._changed:
                self._pairs.discard(pair)

    def _carry(self, pair: _Pair, piece: bytes, sink: socket.socket) -> None:
        """Send one piece on, in the manner of the mode of the moment."""
        to_client = sink is pair.client
        self._hold(is_reply=to_client)
        with self._changed:
            mode, amount, before = self._mode, self._amount, self._passed
            epoch = self._epoch
            if mode == "cut" or (mode == "corrupt" and to_client):
                self._passed += len(piece)
        if mode == "throttle":
            self._trickle(piece, sink, amount, epoch)
            return
        if mode == "delay":
            self._wait(amount, epoch)
        if mode == "half-close" and to_client:
            return
        if mode == "corrupt" and to_client:
            piece = _turn_bit(piece, int(amount) - before)
        if mode == "cut" and before + len(piece) >= amount:
            sink.sendall(piece[: max(0, int(amount) - before)])
            raise ConnectionResetError("the proxy cut the connection, as told")
        sink.sendall(piece)

    def _trickle(
        self, piece: bytes, sink: socket.socket, rate: float, epoch: int
    ) -> None:
        """Send ten small parts a second, and the rest at once if the mode changes."""
        size = max(1, int(rate / 10))
        while piece and epoch == self._epoch and not self._closed:
            part, piece = piece[:size], piece[size:]
            self._wait(len(part) / rate, epoch)
            sink.sendall(part)
        self._hold()
        sink.sendall(piece)

    def _hold(self, *, is_reply: bool = False) -> None:
        """Wait while the mode is ``black-hole``, or ``hold`` where it is a reply."""
        modes = {"black-hole", "hold"} if is_reply else {"black-hole"}
        with self._changed:
            if self._mode not in modes:
                return
            self._held += is_reply
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._mode not in modes)
            self._held -= is_reply

    def _wait(self, seconds: float, epoch: int) -> None:
        """Wait ``seconds``, or until the mode is not that of ``epoch`` any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or epoch != self._epoch, timeout=seconds
            )


class _Pair:
    """The two sockets of one proxied connection."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.pumps: list[threading.Thread] = []  # one for each way
        self._open_ways = 2
        self._is_reset = False
        self._lock = threading.Lock()

    def one_way_done(self) -> bool:
        """Count an ended direction; true for the second one."""
        with self._lock:
            self._open_ways -= 1
            return self._open_ways == 0

    def end(self, sink: socket.socket) -> None:
        """Tell one side that the other has ended, which a reset would only seem to be."""
        with self._lock:
            if not self._is_reset:
                sink.shutdown(socket.SHUT_WR)

    def end_replies(self) -> None:
        """Let the client read the end of the stream."""
        try:
            self.client.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the client has gone already

    def reset(self) -> None:
        """Reset both ends; wakes the pumps that wait for bytes."""
        with self._lock:
            self._is_reset = True
            _reset(self.client)
            _reset(self.server)


def _reset(end: socket.socket) -> None:
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # closed already, or gone at the other side: close() below is enough
    end.close()


def _turn_bit(piece: bytes, at: int) -> bytes:
    if not 0 <= at < len(piece):
        return piece
    return piece[:at] + bytes([piece[at] ^ 0x01]) + piece[at + 1 :]
