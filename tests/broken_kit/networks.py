"""Brokers that break a promise on an evil network; the service speaks in lines."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from broken_kit.common import cases

from qcore import Broker, Conf, Delivery
from qcore.brokers.memory import MemoryBroker
from qcore.brokers.tools import send_parts
from qcore.errors import BrokerUnavailable, NoReply
from qcore.testing import NetworkContract
from qcore.testing.contracts.networks import MakeBroker


class Service(socketserver.ThreadingTCPServer):
    """Holds packages; each line is a call and gets a line in reply."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # else five may wait, and the system resets others

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.packages: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who has called is gone, as these tests want it."""


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            call, *given = json.loads(line)
            self.wfile.write(json.dumps(self.answer(call, *given)).encode() + b"\n")

    def answer(self, call: str, *given: Any) -> Any:
        packages: list[str] = self.server.packages  # type: ignore[attr-defined]
        if call == "put":
            packages.append(given[0])
        elif call == "take":
            # It comes again, as from a service with leases: a call that the caller has given
            # up may be read after the next one, and what it takes would be lost.
            packages[:] = packages[1:] + packages[:1]
            return packages[-1:]
        elif call == "count":
            return len(packages)
        return call


class Sound(MemoryBroker):
    """Connects when it has to, and after each error anew. Each subclass has one fault."""

    caught_by: ClassVar[str] = ""
    reply_seconds: ClassVar[float] = 3.0  # it is also the patience of healthy calls
    errors: ClassVar[tuple[type[BaseException], ...]] = (OSError, ValueError)
    outage: ClassVar[type[BrokerUnavailable]] = NoReply
    supports_bulk = False

    def __init__(self, conf: Conf, queue: str, port: int) -> None:
        super().__init__(conf, queue)
        self.port = port
        self.line: socket.socket | None = None

    def ask(self, *call: Any) -> Any:
        try:
            return self.speak(json.dumps(call).encode() + b"\n")
        except self.errors as error:
            self.hang_up()
            raise self.outage(f"no reply: {error}. Check it.") from error
        except BaseException:
            self.interrupted()
            raise

    def interrupted(self) -> None:
        self.hang_up()

    def speak(self, words: bytes) -> Any:
        if self.line is None:
            place = ("127.0.0.1", self.port)
            self.line = socket.create_connection(place, self.reply_seconds)
        self.line.sendall(words)
        return json.loads(self.read())

    def read(self) -> bytes:
        reply = b""
        while not reply.endswith(b"\n"):
            assert self.line is not None
            piece = self.line.recv(1)
            if not piece:
                raise ConnectionError("the line was cut")
            reply += piece
        return reply

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.close()
        self.line = None

    def ping(self) -> bool:
        return self.ask("ping") == "ping"

    def info(self) -> str:
        return str(self.ask("info"))

    def queue_size(self) -> int:
        return int(self.ask("count"))

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return send_parts([[package] for package in packages], self.put)

    def put(self, packages: Sequence[bytes]) -> list[str]:
        return [str(self.ask("put", package.decode())) for package in packages]

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        return [
            Delivery(package=one.encode(), receipt=one, attempt=1, lease_end=0.0)
            for one in self.ask("take")
        ]

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        """Nobody asks for what has ended."""

    def delete_queue(self) -> None:
        """The service ends with the test."""

    def close(self) -> None:
        self.hang_up()


class WaitsLong(Sound):
    caught_by = "test_silence_is_noticed_and_forgotten"
    reply_seconds = 6.0


class SaysThatNothingWasSent(Sound):
    caught_by = "test_a_lost_reply_is_no_refusal"
    outage = BrokerUnavailable


class DoesNotSayHowMany(Sound):
    caught_by = "test_a_lost_reply_is_no_refusal"

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        return self.put(packages)


class RaisesItsOwnErrors(Sound):
    caught_by = "test_a_broken_line_is_unavailability"
    errors = (TimeoutError, ValueError)


class ChokesOnGarbage(Sound):
    caught_by = "test_garbage_is_unavailability"
    errors = (OSError,)


class ReadsTheReplyOfAnother(Sound):
    caught_by = "test_an_interrupted_call_does_not_mix_up_replies"

    def interrupted(self) -> None:
        """Keep the line, on which a reply is on its way."""


class Case(NetworkContract):
    """The contract on a service in this process."""

    kind: ClassVar[type[Sound]]
    gives_up = 4.5
    patience = 3.0

    @pytest.fixture
    def service(self) -> Iterator[Service]:
        with Service() as service:
            yield service
            service.shutdown()

    @pytest.fixture
    def service_port(self, service: Service) -> int:
        return int(service.server_address[1])

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        def make(port: int, queue: str, **settings: Any) -> Broker:
            return self.kind(Conf.from_dict(settings), queue, port)

        return make


globals().update(cases(globals(), Sound, Case))
