"""The contract of a broker on an evil network: silence, broken lines, garbage.

A `FaultProxy` stands between the broker and its service, on this machine::

    class TestNetworks(NetworkContract):
        @pytest.fixture
        def service_port(self, server):
            return server.port

        @pytest.fixture
        def make_broker(self):  # the service is to be found on this port
            def make(port, queue, **settings):
                options = {"sqs": {"endpoint_url": f"http://127.0.0.1:{port}"}}
                return SQSBroker(Conf.from_dict({**options, **settings}), queue)

            return make
"""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Literal

import pytest

from ...brokers.base import Broker
from ...errors import BrokerError, BrokerUnavailable, NoReply, TaskTimeout
from ..proxy import FaultProxy, Mode
from ..speed import Patience, quickest

if TYPE_CHECKING:
    from types import FrameType

#: ``make_broker(port, queue, **settings)`` returns a broker, not yet connected.
MakeBroker = Callable[..., Broker]

_CALLS: dict[str, Callable[[Broker], object]] = {
    "enqueue": lambda broker: broker.enqueue(b"garbled"),
    "queue_size": lambda broker: broker.queue_size(),
}
_SENDS: list[tuple[Callable[[Broker], object], int]] = [
    (lambda broker: broker.enqueue(b"unsure"), 1),
    (lambda broker: broker.enqueue_many([b"unsure 1", b"unsure 2"]), 2),
]


class Struck(BaseException):
    """Strikes as a timeout does, and no handler of a driver can know it."""


class NetworkContract:
    """What a broker promises when the network between it and its service fails."""

    #: Seconds in which a call gives a silent service up, a busy machine included. The
    #: promise is two, for web requests wait for it.
    gives_up: ClassVar[float] = 2.5
    #: What the message says of silence, a regular expression; None: anything.
    silence: ClassVar[str | None] = None
    #: The first byte of a reply without which it is none, from 0.
    garbage: ClassVar[int] = 0
    #: The call that gets the garbage: one that is not repeated by the driver.
    garbled: ClassVar[Literal["enqueue", "queue_size"]] = "enqueue"
    #: Seconds that a slow machine or service gets beyond what is promised.
    patience: ClassVar[float] = 20.0

    # -- fixtures of the plugin's author -------------------------------------
    @pytest.fixture
    def service_port(self) -> int:
        """Return the port of the running service, on 127.0.0.1."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture service_port;"
            " see qcore.testing.contracts.networks"
        )

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        """Return a callable ``(port, queue, **settings) -> Broker``.

        The broker must find the service on that port of 127.0.0.1. Settings are keys
        of ``Q_CLUSTER`` to be laid over those that the service needs.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture make_broker;"
            " see qcore.testing.contracts.networks"
        )

    # -- fixtures of the contract --------------------------------------------
    @pytest.fixture
    def proxy(self, service_port: int) -> Iterator[FaultProxy]:
        """What stands between the broker and its service."""
        with FaultProxy(service_port) as proxy:
            yield proxy

    @pytest.fixture
    def connect(
        self, make_broker: MakeBroker, proxy: FaultProxy
    ) -> Iterator[Callable[[], Broker]]:
        """Open brokers behind the proxy, on one queue that nobody has used."""
        queue, opened = f"network-{secrets.token_hex(6)}", list[Broker]()

        def open_one() -> Broker:
            opened.append(make_broker(proxy.port, queue, retry=4))
            return opened[-1]

        yield open_one
        proxy.fault("pass")
        for one in opened:
            with suppress(BrokerError):  # deleting queues has tests of its own
                one.delete_queue()
            one.close()

    @pytest.fixture
    def broker(self, connect: Callable[[], Broker]) -> Broker:
        """One broker, which has sent a package, b"before", and is connected."""
        broker = connect()
        broker.enqueue(b"before")
        return broker

    # -- the tests -----------------------------------------------------------------
    def test_silence_is_noticed_and_forgotten(
        self, broker: Broker, proxy: FaultProxy
    ) -> None:
        """A service that says nothing costs a web request about two seconds."""
        broker.dequeue(wait=5)
        proxy.fault("black-hole")

        def send() -> None:
            with pytest.raises(BrokerUnavailable, match=self.silence):
                broker.enqueue(b"lost or late")

        assert quickest(send, self.gives_up) < self.gives_up
        with pytest.raises(BrokerUnavailable, match=self.silence):
            broker.dequeue(wait=1)
        proxy.fault("pass")
        broker.enqueue(b"after")
        self.receive(broker, b"after")

    def test_a_lost_reply_is_no_refusal(
        self, broker: Broker, proxy: FaultProxy
    ) -> None:
        """A call whose reply is lost does not say that nothing was sent.

        Nobody knows whether the service has stored the packages; who is told that it has
        not would send them twice.
        """
        for send, most in _SENDS:
            assert broker.ping()
            proxy.fault("black-hole")
            with pytest.raises(NoReply, match="not known") as raised:
                send(broker)
            error = raised.value
            assert 1 <= error.unsure <= most
            assert error.stored + error.unsure <= most
            proxy.fault("pass")

    @pytest.mark.parametrize("mode", ["refuse", "cut", "half-close"])
    def test_a_broken_line_is_unavailability(
        self, broker: Broker, proxy: FaultProxy, mode: Mode
    ) -> None:
        """A call raises BrokerUnavailable while the line is broken, and no longer."""
        proxy.fault(mode)
        with pytest.raises(BrokerUnavailable):
            broker.enqueue(b"package")
        proxy.fault("pass")
        assert broker.ping()
        broker.enqueue(b"after")
        self.receive(broker, b"before", b"after")

    def test_garbage_is_unavailability(self, broker: Broker, proxy: FaultProxy) -> None:
        """A reply with a wrong byte drops the connection, and the next call works."""
        broker.ping()
        proxy.fault("corrupt", self.garbage)
        with pytest.raises(BrokerUnavailable):
            _CALLS[self.garbled](broker)
        proxy.fault("pass")
        arrived = {b"garbled"} if self.garbled == "enqueue" else set[bytes]()
        if broker.supports_counts:
            assert broker.queue_size() == 1 + len(arrived), "it was only the reply"
        broker.enqueue(b"after")
        self.receive(broker, b"before", b"after", *arrived)

    @pytest.mark.parametrize("kind", [TaskTimeout, Struck])
    def test_an_interrupted_call_does_not_mix_up_replies(
        self,
        broker: Broker,
        connect: Callable[[], Broker],
        proxy: FaultProxy,
        kind: type[BaseException],
    ) -> None:
        """A task's timeout may strike while its own enqueue waits for the reply.

        The task sees it as it was raised, and the next call gets its own reply.
        """
        broker.ping()
        proxy.fault("hold")
        struck = _strike(kind("the time is up"), proxy.wait_for_held)
        with pytest.raises(kind, match="the time is up"), struck:
            broker.enqueue(b"package")
        proxy.fault("pass")
        assert broker.ping()
        assert broker.info() == connect().info()
        self.receive(broker, b"before")

    # -- helpers ---------------------------------------------------------------------
    def receive(self, broker: Broker, *packages: bytes) -> None:
        """Claim until all of these have come; fail when they do not come in time."""
        missing, patience = set(packages), Patience(self.patience)
        while missing:
            if patience.is_over():
                pytest.fail(f"{sorted(missing)} did not come in time")
            missing -= {one.package for one in broker.dequeue(10, wait=1)}


@contextmanager
def _strike(error: BaseException, wait: Callable[[], object]) -> Iterator[None]:
    """Raise an error in this thread, from a signal, when ``wait`` has returned."""
    caller, lock, is_over = threading.get_ident(), threading.Lock(), False

    def strike(number: int, frame: FrameType | None) -> None:
        raise error

    def watch() -> None:
        wait()
        with lock:
            if not is_over:
                signal.pthread_kill(caller, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, strike)
    watcher = threading.Thread(target=watch, daemon=True)
    try:
        watcher.start()
        yield
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        with lock:
            is_over = True
        signal.signal(signal.SIGALRM, before)
