"""What the broken brokers share: a sound broker, and a contract for each of them.

``core/test_broker_contract.py`` runs these files in a pytest of its own; their names
keep them out of every other run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import msgspec
import pytest
from broken_kit.common import Hurry

from qcore import Broker, Conf, Delivery
from qcore.brokers.memory import MemoryBroker
from qcore.brokers.tools import as_package
from qcore.errors import BrokerUnavailable, ConfigError
from qcore.findings import Finding, ok
from qcore.testing import BrokerContract
from qcore.testing.contracts.brokers.case import Connect
from qcore.testing.contracts.restarts import RestartService

CANARY = "hunter2-canary"


#: Seconds of a short lease for brokers that hand out too early. They do not wait for it: a
#: machine that stands still for a while must not make them look right.
FAR = 60.0


class Sound(MemoryBroker):
    """Has no fault. Each subclass has one, and names the test that must catch it."""

    caught_by: ClassVar[str] = ""
    term: ClassVar[float | None] = None  # seconds of a short lease; None: as all
    supports_durable = True  # what it holds survives its `restart`
    max_batch = 20
    # How it takes the outage of its service; see Dead.
    outage: ClassVar[Exception] = BrokerUnavailable("nobody answers. Check Q_CLUSTER.")
    connects_first: ClassVar[bool] = False
    says_goodbye: ClassVar[bool] = False

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self.check_options(conf.options.get("memory", {}))

    def check_options(self, options: dict[str, Any]) -> None:
        for name in options:
            raise ConfigError(f"Q_CLUSTER['memory']: unknown key {name!r}")

    #: the service is being restarted
    away: ClassVar[bool] = False

    @classmethod
    def restart(cls) -> None:
        """Stand for what a kill does to what the service holds."""

    @classmethod
    @contextmanager
    def restarting(cls) -> Iterator[None]:
        """Stand for a service that is killed, and started again."""
        cls.away = True
        yield
        cls.away = False
        cls.restart()

    def ping(self) -> bool:
        if self.away:
            raise BrokerUnavailable("nobody answers. Check Q_CLUSTER.")
        return super().ping()

    def diagnose(self) -> list[Finding]:
        return [ok("it is in the memory of this process")]

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        return [
            msgspec.structs.replace(one, package=as_package(one.package))
            for one in found
        ]

    def put(self, entry: Any) -> None:
        """Store something as no ``enqueue`` would."""
        (id,) = MemoryBroker.enqueue_many(self, [b"package"])
        self._q.packages[id] = entry

    def held(self, receipt: Hashable) -> str:
        assert isinstance(receipt, tuple)
        return str(receipt[0])

    def altered(self, found: list[Delivery], **fields: Any) -> list[Delivery]:
        return [msgspec.structs.replace(one, **fields) for one in found]


class Dead(MemoryBroker):
    """A broker whose service is not there: every call ends in the outage of its kind."""

    def __init__(self, conf: Conf, kind: type[Sound]) -> None:
        super().__init__(conf, "dead")
        self.kind = kind

    def _fail(self, *args: object, **options: object) -> Any:
        raise self.kind.outage

    ping = info = dequeue = purge_queue = delete_queue = _fail

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        if not self.kind.connects_first:
            self.check_size(packages)
        raise self.kind.outage

    def close(self) -> None:
        if self.kind.says_goodbye:
            raise self.kind.outage


class BrokenCase(BrokerContract):
    """The contract with short times, on one of these brokers."""

    kind: ClassVar[type[Sound]]
    lease = 0.3
    patience = 1.0
    crosses_processes = False
    secret = CANARY
    misspelt = ({"memory": {"szie": 1}}, "szie")

    @pytest.fixture
    def make_broker(self) -> Connect:
        def make(queue: str | None = None, **settings: Any) -> Broker:
            return self.kind(Conf.from_dict(settings, claimed=["memory"]), queue)

        return make

    @pytest.fixture
    def dead_broker(self) -> Broker:
        return Dead(Conf.from_dict({}), self.kind)

    @pytest.fixture
    def restart_service(self) -> RestartService:
        return lambda kill: self.kind.restarting()

    @pytest.fixture
    def malformed(self) -> dict[str, Callable[[Any], None]]:
        return {
            "text": lambda broker: broker.put("hand-made"),
            "nothing": lambda broker: broker.put(None),
        }


def contracts(names: dict[str, Any]) -> dict[str, type[BrokenCase]]:
    """Return a test class for each broken broker among the names of a module."""
    broken = [
        value
        for value in names.values()
        if isinstance(value, type) and issubclass(value, Sound) and value.caught_by
    ]
    return {
        f"Test{kind.__name__}": type(
            f"Test{kind.__name__}",
            (Hurry, BrokenCase),
            {"kind": kind, "lease": kind.term or BrokenCase.lease},
        )
        for kind in broken
    }


class TestSound(BrokenCase):
    """The control: what catches the broken ones must pass here."""

    kind = Sound
