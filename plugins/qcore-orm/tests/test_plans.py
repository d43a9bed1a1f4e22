"""A claim costs the same however long the queue is, also before any ANALYZE."""

from __future__ import annotations

import pytest
from django.db import connections

ROWS = 20_000


class Explained:
    """A cursor that asks how a statement would be executed, instead of executing it."""

    def __init__(self, cursor, prefix):
        self.cursor, self.prefix, self.plan = cursor, prefix, ""
        self.rowcount = 0

    def execute(self, query, params=()):
        self.cursor.execute(f"{self.prefix} {query}", params)
        self.plan += "\n".join(str(row[-1]) for row in self.cursor.fetchall())

    def fetchone(self):
        return (1,)

    def fetchall(self):
        return []


def plan_of_claim(database, broker, prefix, limit):
    with connections[database.alias].cursor() as cursor:
        explained = Explained(cursor, prefix)
        broker._sql.claim(explained, limit, 60.0)
    return explained.plan


@pytest.mark.fault("D16")
@pytest.mark.parametrize("limit", [1, 50, 100])
@pytest.mark.parametrize("history", ["never analysed", "analysed when empty", "other"])
def test_postgres_reads_the_index_in_order(make_database, unblocked, limit, history):
    database = make_database("postgres")
    broker = database.broker()
    database.run("TRUNCATE qcore_orm_ormq")
    database.run("ALTER TABLE qcore_orm_ormq SET (autovacuum_enabled = false)")
    if history == "other":
        database.broker("another").enqueue_many([b"x" * 300] * 5000)
    if history != "never analysed":
        database.run("ANALYZE qcore_orm_ormq")
    broker.enqueue_many([b"x" * 300] * ROWS)
    plan = plan_of_claim(database, broker, "EXPLAIN", limit)
    database.run("ALTER TABLE qcore_orm_ormq RESET (autovacuum_enabled)")
    database.run("TRUNCATE qcore_orm_ormq")
    assert "Index Scan using qcore_orm_claim" in plan
    assert "Sort" not in plan
    assert "Seq Scan" not in plan


@pytest.mark.fault("D16")
def test_sqlite_reads_the_index_in_order(make_database, unblocked):
    database = make_database("sqlite")
    plan = plan_of_claim(database, database.broker(), "EXPLAIN QUERY PLAN", 50)
    assert "USING COVERING INDEX qcore_orm_claim (key=? AND visible<?)" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.fault("D16")
def test_mariadb_reads_the_index_in_order(make_database, unblocked):
    database = make_database("mariadb")
    broker = database.broker()
    broker.enqueue_many([b"x" * 300] * ROWS)
    plan = plan_of_claim(database, broker, "EXPLAIN FORMAT=JSON", 50)
    broker.purge_queue()
    assert '"key": "qcore_orm_claim"' in plan
    assert "filesort" not in plan
