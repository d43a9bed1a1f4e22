"""Packages and the transactions of those who send them."""

from __future__ import annotations

import pytest
from django.db import connections, transaction

from qcore.errors import BrokerError
from qcore_orm import broker as broker_module


class Abandon(Exception):
    """Rolls a transaction back."""


@pytest.mark.fault("C9")
def test_what_is_rolled_back_was_never_sent(database):
    broker = database.broker()
    with pytest.raises(Abandon), transaction.atomic(using=database.alias):
        broker.enqueue(b"one")
        broker.enqueue_many([b"two", b"three"])
        assert broker.queue_size() == 3
        raise Abandon
    assert broker.queue_size() == 0
    assert broker.dequeue(limit=10) == []


@pytest.mark.fault("C9")
def test_what_is_committed_is_sent_and_not_before(database):
    broker = database.broker()
    connections[database.alias].ensure_connection()
    with transaction.atomic(using=database.alias):
        broker.enqueue(b"one")
        broker.close()  # a transaction of somebody else is open: it stays
        assert connections[database.alias].connection is not None
    assert [one.package for one in broker.dequeue(limit=10)] == [b"one"]


def test_claims_work_inside_a_transaction(database):
    broker = database.broker()
    with transaction.atomic(using=database.alias):
        broker.enqueue_many([b"one", b"two"])
        held = broker.dequeue(limit=10)
        broker.release([held[1].receipt])
        broker.acknowledge(held[0].receipt)
    assert [(one.package, one.attempt) for one in broker.dequeue()] == [(b"two", 2)]


def test_a_batch_in_several_statements_is_stored_whole_or_not(database, monkeypatch):
    broker = database.broker()
    monkeypatch.setattr(broker_module, "STATEMENT_BYTES", 10)
    statements = broker._sql
    insert, calls = statements.insert, []

    def fail_at_third(cursor, batch, *rest):
        calls.append(batch)
        if len(calls) == 3:
            cursor.execute("SELECT nothing FROM nowhere")
        return insert(cursor, batch, *rest)

    monkeypatch.setattr(statements, "insert", fail_at_third)
    with pytest.raises(BrokerError):
        broker.enqueue_many([b"12345"] * 6)
    assert [len(batch) for batch in calls] == [2, 2, 2]
    assert broker.queue_size() == 0


def test_queues_are_told_apart_by_case(database):
    upper, lower = database.broker("Mail"), database.broker("mail")
    upper.enqueue(b"upper")
    assert lower.dequeue() == []
    assert [one.package for one in upper.dequeue()] == [b"upper"]
    upper.purge_queue()


def test_ids_keep_the_order_of_a_batch(database):
    broker = database.broker()
    packages = [b"%04d" % n for n in range(300)]
    ids = [int(id) for id in broker.enqueue_many(packages)]
    assert ids == sorted(ids)
    rows = database.run(
        f"SELECT payload FROM qcore_orm_ormq WHERE id BETWEEN {ids[0]} AND {ids[-1]}"
        " ORDER BY id"
    )
    assert [bytes(row[0]) for row in rows] == packages
    broker.purge_queue()


def test_ids_that_are_none_delete_nothing(database):
    broker = database.broker()
    assert [broker.delete(id) for id in ("", "x", "-1", "9" * 40, "²")] == [False] * 5


def test_stats_of_the_past_are_removed(database):
    broker = database.broker()
    broker.set_stat("gone", b"value", ttl=-1e9)
    assert database.run("SELECT value FROM qcore_orm_stat WHERE expires < 1e9") == []
    assert broker.get_stats("gone") == []


def test_a_lease_that_has_ended_is_lost_even_unclaimed(database):
    broker = database.broker()
    id = broker.enqueue(b"package")
    held = broker.dequeue()[0]
    assert broker.extend([held.receipt]) == set()
    ago = f"visible = visible - {broker.lease + 1}"
    database.run(f"UPDATE qcore_orm_ormq SET {ago} WHERE id = {id}")
    assert broker.extend([held.receipt]) == {held.receipt}
    broker.release([held.receipt], delay=60)
    assert broker.dequeue()[0].attempt == 2
    broker.purge_queue()
