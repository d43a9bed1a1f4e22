"""The contract of every broker, on each database that holds a queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.db import connections

from qcore import Conf
from qcore.testing.brokers import BrokerContract
from qcore_orm.broker import OrmBroker


class OrmContract(BrokerContract):
    """What the three have in common."""

    kind: ClassVar[str]
    secret = "hunter2-orm"
    misspelt = ({"orm": "defualt"}, "did you mean 'default'")
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

    def after_fork(self) -> None:
        """Forget inherited connections; closing one would end the parent's session."""
        for wrapper in connections.all(initialized_only=True):
            self.abandoned.append(wrapper.connection)
            wrapper.connection = None


class TestSQLite(OrmContract):
    kind = "sqlite"


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
