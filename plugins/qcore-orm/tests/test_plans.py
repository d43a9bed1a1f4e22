"""A claim costs the same however long the queue is, also before any ANALYZE."""

from __future__ import annotations

import re
import threading
import time

import pytest
from django.db import connections, transaction

from qcore.testing.speed import in_time
from qcore_orm import postgresql

ROWS = 20_000


class Explained:
    """A cursor that asks how a statement would be executed, instead of executing it."""

    def __init__(self, cursor, prefix, rows):
        self.cursor, self.prefix, self.plan = cursor, prefix, ""
        self.rowcount = 0
        self.rows = list(rows)

    def execute(self, query, params=()):
        self.cursor.execute(f"{self.prefix} {query}", params)
        self.plan += "\n".join(str(row[-1]) for row in self.cursor.fetchall())

    def fetchone(self):
        return self.rows.pop(0) if self.rows else None

    def fetchall(self):
        return []


def plan_of_claim(database, broker, prefix, limit):
    with connections[database.alias].cursor() as cursor:
        postgres = database.kind == "postgres"
        # what a look at the ranks finds: one, with packages that are visible
        rows = [(0.0, 0, 0.0), (0.0, None, None)] if postgres else [(0, 0.0, None)]
        explained = Explained(cursor, prefix, rows)
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
    assert (
        "USING COVERING INDEX qcore_orm_claim (key=? AND priority_rank=? AND visible<?)"
        in plan
    )
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


@pytest.fixture
def postgres(make_database, unblocked):
    return make_database("postgres")


@pytest.mark.fault("D16")
def test_postgres_does_not_pass_what_was_claimed_before(postgres, monkeypatch):
    """The index keeps an entry of what was claimed until VACUUM comes."""
    monkeypatch.setattr(postgresql, "LATE", 0.0)
    monkeypatch.setattr(postgresql, "HEAD_SECONDS", 60.0)
    broker = postgres.broker()
    postgres.run("ALTER TABLE qcore_orm_ormq SET (autovacuum_enabled = false)")
    broker.enqueue_many([b"x"] * 10_000)
    pages = []
    for _ in range(95):
        broker.acknowledge_many([one.receipt for one in broker.dequeue(100)])
        broker._look()  # as after a second
        plan = plan_of_claim(postgres, broker, "EXPLAIN (ANALYZE, BUFFERS)", 1)
        # of the claim; that it finds nothing makes it look at the head
        pages.append(int(re.findall(r"InitPlan.*?hit=(\d+)", plan, re.DOTALL)[0]))
    postgres.run("ALTER TABLE qcore_orm_ormq RESET (autovacuum_enabled)")
    assert pages[-1] < pages[0] + 10


@pytest.mark.parametrize(
    ("wait", "head_seconds"), [(5, 1.0), (0, 60.0)], ids=["waiting", "not waiting"]
)
def test_what_commits_late_is_found_all_the_same(
    postgres, monkeypatch, wait, head_seconds
):
    """It became visible, by its own clock, before others that were claimed meanwhile."""
    monkeypatch.setattr(postgresql, "LATE", 0.0)
    monkeypatch.setattr(postgresql, "HEAD_SECONDS", head_seconds)
    broker = postgres.broker()
    written, commit = threading.Event(), threading.Event()
    given = (postgres, broker.queue, written, commit)
    late = threading.Thread(target=enqueue_late, args=given)
    late.start()
    try:
        assert written.wait(60)
        broker.enqueue(b"young")
        assert [one.package for one in broker.dequeue(5, wait=wait)] == [b"young"]
    finally:
        commit.set()
        late.join()
    began = time.monotonic()
    assert [one.package for one in broker.dequeue(5, wait=wait)] == [b"late"]
    assert in_time(time.monotonic() - began, 2)
    broker.close()


def enqueue_late(postgres, queue, written, commit):
    try:
        with transaction.atomic(using=postgres.alias):
            postgres.broker(queue).enqueue(b"late")
            written.set()
            assert commit.wait(60)
    finally:
        connections[postgres.alias].close()
