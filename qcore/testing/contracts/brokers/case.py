"""What the parts of the broker contract share: fixtures, and waiting with an end."""

from __future__ import annotations

import os
import secrets
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import msgspec
import pytest

from ....brokers.base import Broker
from ....envelope import Delivery
from ....errors import BrokerError
from ...speed import Patience
from ..restarts import RestartService, restart

LONG = 3600  # seconds; a lease that does not end during a test

#: ``connect(queue=None, **settings)`` returns a broker that the test need not close.
Connect = Callable[..., Broker]


class BrokerCase:
    """Fixtures and helpers; the attributes may be overridden by a plugin's tests."""

    #: Seconds of a lease in these tests; whole ones where the service wants them.
    lease: ClassVar[float] = 1.0
    #: Seconds that a slow service gets beyond what is promised; a busy machine gets
    #: more by itself.
    patience: ClassVar[float] = 10.0
    #: Whether another process sees the same queues.
    crosses_processes: ClassVar[bool] = True
    #: Whether an acknowledgement counts that comes after its lease ended. Off where
    #: the service forbids it; the README of the plugin then says so.
    late_acknowledge: ClassVar[bool] = True
    #: A password that `make_broker` and `dead_broker` use; no message may hold it.
    secret: ClassVar[str | None] = None
    #: Settings with a mistake, and the word that the ConfigError must name.
    misspelt: ClassVar[tuple[Mapping[str, Any], str] | None] = None
    #: What these tests run on, for the certificate, where ``broker.info()`` does not
    #: say it or names a port or a folder: ``"moto 5.2.5"``.
    service: ClassVar[str | None] = None

    #: Not to be set: by how much a busy machine makes the leases of a test longer.
    stretch: float = 1.0

    # -- fixtures of the plugin's author -------------------------------------
    @pytest.fixture
    def make_broker(self) -> Connect:
        """Return a callable ``(queue=None, **settings) -> Broker``.

        Settings are keys of ``Q_CLUSTER`` to be laid over those that the service
        needs; the contract always names a queue of its own.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture make_broker;"
            " see qcore.testing.contracts.brokers"
        )

    @pytest.fixture
    def dead_broker(self) -> Broker:
        """Return a broker, not yet connected, whose service is not there."""
        pytest.skip("the plugin's tests give no dead_broker")

    @pytest.fixture
    def restart_service(self) -> RestartService:
        """Return a callable ``(kill)`` that ends the service and starts it again.

        With ``kill`` it ends by SIGKILL, else in order; it returns when the service
        answers on the address it had. The contract sees that connections have ended.

        Where a broker keeps no connection, the callable returns a context manager: the
        service is away within its ``with`` block, and answers again after that.
        """
        pytest.skip("the plugin's tests give no restart_service")

    def after_fork(self) -> None:
        """Drop inherited connections; runs in a forked child before it opens brokers.

        Needed only where connections belong to a framework, such as Django's.
        """

    # -- fixtures of the contract --------------------------------------------
    @pytest.fixture
    def queue(self) -> str:
        """The name of a queue that nobody has used."""
        return f"contract-{secrets.token_hex(6)}"

    @pytest.fixture
    def connect(self, make_broker: Connect, queue: str) -> Iterator[Connect]:
        """Open brokers on the test's queue with its short lease, `term`; close them after.

        A thread or a forked child closes by itself what it opened.
        """
        opened: list[Broker] = []
        owner = threading.get_ident()

        def open_one(name: str | None = None, **settings: Any) -> Broker:
            # a test that begins again finds nothing of what it did before
            own = queue if self.stretch == 1 else f"{queue}-{self.stretch:g}"
            one = make_broker(queue=name or own, **{"retry": self.term, **settings})
            if threading.get_ident() == owner:
                opened.append(one)
            return one

        yield open_one
        for one in {one.queue: one for one in opened}.values():
            with suppress(BrokerError):  # deleting queues has tests of its own
                one.delete_queue()
        for one in opened:
            one.close()

    @pytest.fixture
    def restart(
        self, restart_service: RestartService, connect: Connect
    ) -> Callable[[bool], None]:
        """Restart the service, and fail where it was not away."""
        return lambda kill: restart(restart_service, kill, connect)

    @pytest.fixture
    def broker(self, connect: Connect) -> Broker:
        """One broker on the test's queue, with a lease that does not end."""
        return connect(retry=LONG)

    # -- helpers ---------------------------------------------------------------
    def sizes(self, broker: Broker) -> tuple[int, int | None]:
        """Return what waits and what is claimed; None where the latter is not counted."""
        return (
            broker.queue_size(),
            broker.lock_size() if broker.counts_claimed else None,
        )

    def counted(
        self, broker: Broker, waiting: int, claimed: int
    ) -> tuple[int, int | None]:
        """Return the `sizes` that a broker must tell."""
        return waiting, claimed if broker.counts_claimed else None

    @property
    def term(self) -> float:
        """Seconds of a short lease in the test that runs."""
        return self.lease * self.stretch

    def require(self, broker: Broker, *flags: str) -> None:
        """Skip the test unless the broker has all of these capabilities."""
        for flag in flags:
            if not getattr(broker, f"supports_{flag}"):
                pytest.skip(f"{type(broker).__name__} has no {flag}")

    def receive(self, broker: Broker, count: int = 1) -> list[Delivery]:
        """Claim ``count`` deliveries; fail when they do not come in time."""
        patience = Patience(self.term + self.patience)
        found: list[Delivery] = []
        while len(found) < count:
            if patience.is_over():
                pytest.fail(f"{count} deliveries expected, {len(found)} came in time")
            found += broker.dequeue(limit=count - len(found), wait=0.2)
        return found

    def receive_one(self, broker: Broker) -> Delivery:
        """Claim one delivery; fail when it does not come in time."""
        return self.receive(broker)[0]

    def assert_quiet(self, broker: Broker, seconds: float) -> list[Delivery]:
        """Fail when a delivery comes within ``seconds``.

        Returns:
            What came too late to be judged, on a slow machine: it is claimed.
        """
        return self.assert_quiet_until(broker, time.monotonic() + seconds)

    def assert_quiet_until(self, broker: Broker, moment: float) -> list[Delivery]:
        """Fail when a delivery comes before a moment of the monotonic clock."""
        begun, late = time.monotonic(), list[Delivery]()
        while (left := moment - time.monotonic()) > 0:
            found = broker.dequeue(limit=10, wait=min(left, 0.2))
            if time.monotonic() < moment:
                due = moment - begun
                assert found == [], f"nothing was due for {due:.3g} s, but this came"
            late += found
            time.sleep(0.02)  # a broker without `blocking` returns at once
        return late

    def wait_out(self, seconds: float) -> None:
        """Let a lease run out, with a tenth over."""
        time.sleep(seconds * 1.1)

    def in_child(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """Fork, run ``work`` in the child, and return a callable that awaits its value.

        The value must be one that JSON can hold.
        """
        if not self.crosses_processes:
            pytest.skip("the broker serves one process only")
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns where other threads exist; the child touches no lock
            # of theirs and ends with os._exit.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._run_child(work, reader, writer)
        os.close(writer)
        return lambda: _reap(pid, reader)

    def _run_child(self, work: Callable[[], Any], reader: int, writer: int) -> None:
        status = 1
        try:
            os.close(reader)
            self.after_fork()
            reply = msgspec.json.encode(work())
            status = 0
        except BaseException:  # noqa: BLE001 - the parent shows it
            reply = traceback.format_exc().encode()
        try:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(reply)
        finally:
            os._exit(status)


def _reap(pid: int, reader: int) -> Any:
    with os.fdopen(reader, "rb") as pipe:
        reply = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the forked child failed:\n{reply.decode()}"
    return msgspec.json.decode(reply)
