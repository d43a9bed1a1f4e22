"""Fixtures that every test of this repository can ask for, those of plugins too.

pyproject.toml loads this file as a pytest plugin (``-p shared_fixtures``), so that
``pytest plugins/qcore-redis/tests`` finds the same servers as ``pytest tests``.

A server that is missing skips its tests with a reason, and fails them where the
environment says that it must be there: ``QCORE_NEED=redis,postgres,mariadb``.
``CI=true`` needs all of them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest
from servers.base import ServerMissing
from servers.disque import DisqueServer
from servers.ironmq import IronMQServer
from servers.mariadb import MariaDBServer
from servers.mongo import MongoServer
from servers.pgbouncer import PgBouncerServer
from servers.postgres import Postgres18Server, PostgresServer
from servers.redis import RedisServer
from servers.sink import Sink
from servers.sqs import MinistackServer, MotoServer

from qcore.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Generator

ALL_SERVERS = "redis,postgres,mariadb,moto,ministack,mongo,valkey,redis8,redis6,postgres18,pgbouncer,chromium"
DATABASE_SERVERS = {"postgres": PostgresServer, "mariadb": MariaDBServer}


class Running(Protocol):
    """A server, or several that belong together."""

    def start(self) -> None: ...
    def close(self) -> None: ...


Server = TypeVar("Server", bound=Running)


def needed() -> set[str]:
    """Return the names of the servers that must be on this machine."""
    everything = ALL_SERVERS if os.environ.get("CI") == "true" else ""
    names = os.environ.get("QCORE_NEED", everything)
    return {name.strip() for name in names.split(",") if name.strip()}


def missing(name: str, reason: str) -> None:
    """Skip the test for want of ``name``, or fail it where ``name`` is needed."""
    if name in needed():
        pytest.fail(f"QCORE_NEED has {name!r}, and {reason}", pytrace=False)
    pytest.skip(reason)


def run_server(name: str, make: Callable[[], Server]) -> Iterator[Server]:
    """Yield a started server and end it afterwards; skip or fail when it is missing."""
    try:
        server = make()
    except ServerMissing as fact:
        missing(name, str(fact))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Start the database that ``QCORE_TEST_DB`` names, before Django reads settings.

    The port goes into the environment: the processes that tests start, and the
    workers of xdist, use the same server (each worker a database of its own).
    """
    name = os.environ.get("QCORE_TEST_DB", "sqlite")
    if name in DATABASE_SERVERS and "QCORE_TEST_DB_PORT" not in os.environ:
        try:
            server = DATABASE_SERVERS[name]()
        except ServerMissing as fact:
            raise pytest.UsageError(f"QCORE_TEST_DB is {name!r}, and {fact}") from None
        server.start()
        os.environ["QCORE_TEST_DB_PORT"] = str(server.port)
    yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--must-run",
        action="store_true",
        help="fail when every test was skipped; noxfile.py always says so",
    )
    parser.addoption(
        "--shuffle",
        type=int,
        metavar="SEED",
        help="run files, and the tests of each, in an order that the seed chooses",
    )
    soak = parser.getgroup("soak", "the soak (-m soak)")
    soak.addoption("--minutes", type=float, default=20.0, help="how long (default: 20)")
    soak.addoption("--seed", type=int, help="of the faults; default: any")
    soak.addoption("--calm", action="store_true", help="without any fault")
    soak.addoption("--report", metavar="FOLDER", help="where soak.txt and soak.svg go")
    parser.addoption(
        "--faults-report",
        type=Path,
        metavar="FILE",
        help="write down which rows of the table of faults hold",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell has its jobs in the background ignore Ctrl-C, and so would every program
    # that a test starts and interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if path := config.getoption("--faults-report"):
        from faults.report import FaultsReport  # imports qcore: after Django's plugin

        config.pluginmanager.register(FaultsReport(config.invocation_params.dir / path))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Put the tests into another order, for those that lean on their neighbours.

    A file stays together, for its tests share a cluster.
    """
    seed = config.getoption("--shuffle")
    if seed is None:
        return
    order = random.Random(seed)
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    groups = list(files.values())
    order.shuffle(groups)
    for group in groups:
        order.shuffle(group)
    items[:] = [item for group in groups for item in group]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a green run in which no test was executed into a failed one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("--must-run") or reporter is None:
        return
    ran = reporter.stats.get("passed") or reporter.stats.get("xfailed")
    if session.exitstatus == pytest.ExitCode.OK and not ran:
        reporter.write_line("--must-run: every test was skipped")
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis without persistence; one per test process."""
    yield from run_server("redis", RedisServer)


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """A Redis for one test that kills, pauses or fills it; it survives a kill."""
    yield from run_server("redis", lambda: RedisServer(appendonly=True))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL; one per test process."""
    yield from run_server("postgres", PostgresServer)


@pytest.fixture(scope="session")
def postgres18_server() -> Iterator[Postgres18Server]:
    """A running PostgreSQL 18; one per test process."""
    yield from run_server("postgres18", Postgres18Server)


@pytest.fixture(scope="session")
def pgbouncer_server() -> Iterator[PgBouncerServer]:
    """A running PgBouncer before a PostgreSQL of its own; one per test process."""
    yield from run_server("pgbouncer", PgBouncerServer)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A running MariaDB; one per test process."""
    yield from run_server("mariadb", MariaDBServer)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """A running moto with the protocol of SQS; one per test process."""
    yield from run_server("moto", MotoServer)


@pytest.fixture
def own_moto_server() -> Iterator[MotoServer]:
    """A moto for one test that kills it; its queues do not survive that."""
    yield from run_server("moto", MotoServer)


@pytest.fixture(scope="session")
def ministack_server() -> Iterator[MinistackServer]:
    """A running ministack, the second opinion on SQS; one per test process."""
    yield from run_server("ministack", MinistackServer)


@pytest.fixture
def durable_ministack_server() -> Iterator[MinistackServer]:
    """A ministack for one test that kills it; its queues survive that."""
    yield from run_server("ministack", lambda: MinistackServer(durable=True))


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[MongoServer]:
    """A running server that speaks MongoDB's protocol; one per test process."""
    yield from run_server("mongo", MongoServer)


@pytest.fixture
def own_mongo_server() -> Iterator[MongoServer]:
    """The same for one test that kills, pauses or reconfigures it."""
    yield from run_server("mongo", MongoServer)


@pytest.fixture(scope="session")
def disque_server() -> Iterator[DisqueServer]:
    """A running node that speaks Disque's protocol; one per test process."""
    yield from run_server("disque", DisqueServer)


@pytest.fixture
def own_disque_server() -> Iterator[DisqueServer]:
    """The same for one test that kills, fills or reconfigures it; it survives a kill."""
    yield from run_server("disque", lambda: DisqueServer(appendonly=True))


@pytest.fixture
def sink() -> Iterator[Sink]:
    """What stands in for Sentry and Rollbar: it keeps what is sent to it."""
    server = Sink()
    yield server
    server.close()


@pytest.fixture
def own_ironmq_server() -> Iterator[IronMQServer]:
    """A server with the protocol of IronMQ for one test that kills it."""
    yield from run_server("ironmq", IronMQServer)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """The path of an SQLite database file that does not exist yet."""
    return tmp_path / "test.sqlite3"


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[int], FaultProxy]]:
    """Make a proxy in front of a loopback port: ``fault_proxy(redis_server.port)``."""
    proxies: list[FaultProxy] = []

    def make(upstream: int) -> FaultProxy:
        proxies.append(FaultProxy(upstream))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Leave nothing in the memory of this process: neither results nor packages."""
    yield
    memory = sys.modules.get("qcore.results.memory")
    if memory is not None:
        memory.MemoryStore.clear()
    memory = sys.modules.get("qcore.brokers.memory")
    if memory is not None:
        memory.MemoryBroker._queues.clear()
