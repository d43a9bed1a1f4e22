"""Priorities of the ORM broker: what a claim costs, and updates beside running clusters."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connections

from qcore import Conf
from qcore.errors import BrokerError
from qcore_orm import postgresql
from qcore_orm.broker import OrmBroker

#: What release 2.0 asks, with this database's expression for now.
CLAIM_2_0 = {
    "sqlite": "SELECT id FROM {table} WHERE {key} = %s AND visible <= {now}"
    " ORDER BY visible, id LIMIT 10",
    "postgres": "SELECT id FROM {table} WHERE ({key}, visible) >= (%s, 0.0)"
    " ORDER BY {key}, visible, id LIMIT 10 FOR UPDATE SKIP LOCKED",
    "mariadb": "SELECT id FROM {table} FORCE INDEX (qcore_orm_claim) WHERE {key} = %s"
    " AND visible <= {now} ORDER BY visible, id LIMIT 10 FOR UPDATE SKIP LOCKED",
}


class Counted:
    """A cursor that counts what the database reads, on SQLite by its own steps."""

    def __init__(self, cursor):
        self.cursor, self.statements = cursor, 0
        self.fetchone, self.fetchall = cursor.fetchone, cursor.fetchall

    @property
    def rowcount(self):
        return self.cursor.rowcount

    def execute(self, query, params=()):
        self.statements += 1
        return self.cursor.execute(query, params)


def claim(database, broker, limit=10):
    """Return what a claim finds, and how many statements it takes."""
    with broker._sql.cursor() as cursor:
        counted = Counted(cursor)
        found = broker._sql.claim(counted, limit, 60.0)
    return [bytes(package) for _, package, _ in found], counted.statements


def test_a_queue_of_plain_tasks_costs_no_further_claim(database):
    broker = database.broker()
    broker.enqueue_many([b"x"] * 30)
    claim(database, broker)
    found, statements = claim(database, broker)
    assert len(found) == 10
    assert statements == {"sqlite": 2, "postgres": 1, "mariadb": 3}[database.kind]
    broker.purge_queue()


@pytest.mark.fault("M2")
def test_what_is_delayed_in_a_higher_priority_is_not_passed(database):
    """Each rank is asked for its first package, and claimed only where that is visible."""
    broker = database.broker()
    broker.enqueue_with_priority([b"later"] * 3000, 100, delay=3600)
    broker.enqueue_with_priority([b"later"] * 3000, 50, delay=3600)
    broker.enqueue_many([b"usual"] * 20)
    broker.enqueue_with_priority([b"high"] * 5, 9)
    claim(database, broker, 1)
    found, statements = claim(database, broker, 8)
    assert found == [b"high"] * 4 + [b"usual"] * 4
    assert statements <= 8
    assert broker.oldest_waiting() >= 0
    broker.purge_queue()


@pytest.mark.fault("M2")
def test_a_new_priority_is_seen_at_once(make_database, unblocked, monkeypatch):
    """PostgreSQL trusts for a while where each rank begins, and not which ranks there are."""
    monkeypatch.setattr(postgresql, "HEAD_SECONDS", 3600.0)
    broker, sender = (make_database("postgres").broker("seen") for _ in range(2))
    sender.enqueue_many([b"usual"] * 3)
    assert [one.package for one in broker.dequeue(1)] == [b"usual"]
    for priority in (5, -5, 100, -100, 6):
        sender.enqueue_with_priority([b"%d" % priority], priority)
        if priority > 0:
            assert [one.package for one in broker.dequeue(1)] == [b"%d" % priority]
    assert [one.package for one in broker.dequeue(9)] == [
        b"usual", b"usual", b"-5", b"-100",
    ]  # fmt: skip
    sender.enqueue_with_priority([b"again"], 100)  # of a rank that was empty meanwhile
    assert [one.package for one in broker.dequeue(1)] == [b"again"]
    broker.purge_queue()


def test_clusters_of_2_0_go_on_after_the_migration(database):
    # the last name of all: on PostgreSQL, 2.0 read on into the next queue
    broker = database.broker("zz-the-last-queue")
    broker.enqueue(b"usual")
    broker.enqueue_with_priority([b"high"], 5)
    sql = CLAIM_2_0[database.kind].format(
        table=broker._sql.table, key=broker._sql.key, now=broker._sql.now
    )
    assert len(database.run(sql, broker.queue)) == 2
    broker.purge_queue()


def test_a_new_release_sends_before_the_migration(add_database, unblocked, tmp_path):
    add_database("early", file=tmp_path / "early.db")
    migrate = ("migrate", "qcore_orm")
    call_command(*migrate, "0001", database="early", verbosity=0)
    broker = OrmBroker(Conf.from_dict({"orm": "early"}), "early")
    broker.enqueue_many([b"one", b"two"])
    with pytest.raises(BrokerError, match="migrate"):
        broker.dequeue()
    with pytest.raises(BrokerError, match="migrate"):
        broker.enqueue_with_priority([b"high"], 5)
    call_command(*migrate, database="early", verbosity=0)
    assert [one.package for one in broker.dequeue(5)] == [b"one", b"two"]
    broker.close()
    connections["early"].close()


def test_the_model_and_the_migrations_agree(unblocked):
    call_command("makemigrations", "qcore_orm", check=True, dry_run=True, verbosity=0)
