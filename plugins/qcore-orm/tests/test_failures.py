"""Locks, lost connections, missing tables and old servers."""

from __future__ import annotations

import threading
from contextlib import nullcontext, suppress

import pytest
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connections, transaction

from qcore import Conf
from qcore.errors import BrokerError, BrokerUnavailable, NoReply
from qcore_orm import session
from qcore_orm.broker import OrmBroker


@pytest.fixture
def postgres(make_database, unblocked):
    return make_database("postgres")


@pytest.mark.fault("E12")
def test_missing_tables_ask_for_migrations(database):
    broker = database.broker()
    broker.ping()
    database.run("ALTER TABLE qcore_orm_ormq RENAME TO away")
    try:
        for call in (broker.dequeue, broker.queue_size, lambda: broker.enqueue(b"x")):
            with pytest.raises(BrokerError, match="migrate --database=") as raised:
                call()
            assert not isinstance(raised.value, BrokerUnavailable)
    finally:
        database.run("ALTER TABLE away RENAME TO qcore_orm_ormq")


@pytest.mark.fault("E12")
def test_tables_of_an_older_release_ask_for_migrations(database):
    broker = database.broker()
    database.run("ALTER TABLE qcore_orm_ormq RENAME COLUMN claimed TO taken")
    try:
        with pytest.raises(BrokerError, match="migrate --database="):
            broker.enqueue(b"x")
    finally:
        database.run("ALTER TABLE qcore_orm_ormq RENAME COLUMN taken TO claimed")


# -- locks -----------------------------------------------------------------------
BUSY = {
    "sqlite": {"sqlite_errorcode": 517},  # SQLITE_BUSY_SNAPSHOT
    "postgres": {"sqlstate": "40P01"},
    "mariadb": {"args": (1213, "Deadlock found when trying to get lock")},
}


class DriverError(Exception):
    """Stands for the error of a driver, by what a driver puts on it."""


def deadlock(kind):
    cause = DriverError()
    for name, value in BUSY[kind].items():
        setattr(cause, name, value)
    error = OperationalError("deadlock")
    error.__cause__ = cause
    return error


@pytest.mark.fault("E4")
def test_deadlocks_are_tried_again(database):
    broker, tries = database.broker(), []

    def work(cursor):
        tries.append(cursor)
        if len(tries) < 4:
            raise deadlock(database.kind)
        return "done"

    assert broker._session.run(work) == "done"
    assert len(tries) == 4


@pytest.mark.fault("E4")
def test_deadlocks_are_not_tried_for_ever(database, monkeypatch):
    monkeypatch.setattr(session, "PATIENCE", 0.1)

    def work(cursor):
        raise deadlock(database.kind)

    with pytest.raises(BrokerUnavailable, match="deadlock"):
        database.broker()._session.run(work)


def test_deadlocks_in_a_transaction_are_the_callers(database):
    tries = []

    def work(cursor):
        tries.append(cursor)
        raise deadlock(database.kind)

    with pytest.raises(BrokerUnavailable), transaction.atomic(using=database.alias):
        database.broker()._session.run(work)
    assert len(tries) == 1


def test_other_errors_are_not_tried_again(database):
    tries = []

    def work(cursor):
        tries.append(cursor)
        raise IntegrityError("no")

    with pytest.raises(BrokerError, match="failed: no") as raised:
        database.broker()._session.run(work)
    assert not isinstance(raised.value, BrokerUnavailable)
    assert len(tries) == 1


@pytest.fixture
def impatient(add_database, tmp_path, unblocked):
    """An SQLite database that waits 20 ms for a lock, and a broker on it."""
    add_database("impatient", file=tmp_path / "impatient.db")
    connections["impatient"].settings_dict["OPTIONS"]["timeout"] = 0.02
    call_command("migrate", "qcore_orm", database="impatient", verbosity=0)
    return OrmBroker(Conf.from_dict({"orm": "impatient"}))


@pytest.mark.fault("E11")
def test_a_locked_file_is_waited_for(impatient):
    locked, free = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic(using="impatient"):
            locked.set()
            free.wait(10)
        connections["impatient"].close()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert locked.wait(10)
    timer = threading.Timer(0.3, free.set)
    timer.start()
    impatient.enqueue(b"through")
    assert free.is_set()
    assert [one.package for one in impatient.dequeue()] == [b"through"]
    thread.join(60)
    timer.join(60)


# -- connections -------------------------------------------------------------------
@pytest.mark.fault("E5")
def test_a_terminated_connection_is_replaced(postgres):
    broker = postgres.broker()
    broker.enqueue(b"kept")
    pid = connections[postgres.alias].connection.info.backend_pid
    killer = connections[postgres.alias].copy()
    try:
        with killer.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    finally:
        killer.close()
    with pytest.raises(BrokerUnavailable, match="Check DATABASES"):
        broker.dequeue()
    assert [one.package for one in broker.dequeue()] == [b"kept"]


@pytest.mark.fault("E9")
def test_a_read_only_server_is_waited_for(postgres):
    broker = postgres.broker()
    postgres.run("SET default_transaction_read_only = on")
    with pytest.raises(BrokerUnavailable, match="read-only"):
        broker.enqueue(b"x")
    # the connection was let go, and the setting of its session with it
    assert broker.enqueue(b"x")


def test_statements_are_seen_by_those_who_wrap_them(postgres):
    broker, seen = postgres.broker(), []

    def watch(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with connections[postgres.alias].execute_wrapper(watch):
        broker.enqueue(b"x")
        held = broker.dequeue()
    # the second and the third one look up which priorities wait, and where each begins
    words = [sql.split()[0] for sql in seen]
    assert words == ["INSERT", "SELECT", "SELECT", "UPDATE"]
    broker.acknowledge(held[0].receipt)


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "watched"])
def test_a_batch_keeps_every_byte_and_its_order(postgres, watched):
    """Through the driver's cursor, where arrays are binary, and through Django's."""
    broker, connection = postgres.broker(), connections[postgres.alias]
    packages = [b"", b"\\x00", b'"}{,\0NULL', bytes(range(256)), b"x" * 10_000]

    def pass_on(execute, *args):
        return execute(*args)

    with connection.execute_wrapper(pass_on) if watched else nullcontext():
        ids = broker.enqueue_many(packages)
        held = broker.dequeue(len(packages))
        assert [one.package for one in held] == packages
        assert [str(one.receipt[0]) for one in held] == ids
        assert broker.extend([one.receipt for one in held]) == set()
        broker.acknowledge_many([one.receipt for one in held])
    assert broker.queue_size() == broker.lock_size() == 0


@pytest.mark.fault("E14")
@pytest.mark.parametrize(
    ("maria", "version", "told"),
    [
        (True, (10, 5, 9), "MariaDB 10.5.9; the queue needs 10.6 or newer"),
        (False, (5, 7, 44), "MySQL 5.7.44; the queue needs 8.0.1 or newer"),
        (True, (10, 6, 0), None),
        (False, (8, 0, 1), None),
    ],
)
def test_servers_without_skip_locked_are_refused(
    make_database, unblocked, monkeypatch, maria, version, told
):
    database = make_database("mariadb")
    seen = vars(connections[database.alias])
    monkeypatch.setitem(seen, "mysql_is_mariadb", maria)
    monkeypatch.setitem(seen, "mysql_version", version)
    broker = database.broker()
    if told is None:
        assert broker.dequeue() == []
    else:
        with pytest.raises(BrokerError, match=told):
            broker.dequeue()


@pytest.mark.fault("D19")
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
@pytest.mark.parametrize("count", [1, 2, 1001])
def test_a_lost_reply_is_no_refusal(
    make_database, add_database, fault_proxy, unblocked, kind, count
):
    """The error says that it is not known; here what was sent is stored, if committed."""
    database = make_database(kind)
    proxy = fault_proxy(database.server.port)
    add_database("behind", {**database.server.database(), "PORT": proxy.port})
    broker = OrmBroker(Conf.from_dict({"orm": "behind"}), f"lost-{kind}-{count}")
    broker.ping()
    proxy.fault("half-close")
    with pytest.raises(NoReply, match="not known") as raised:
        broker.enqueue_many([b"x"] * count)
    assert (raised.value.stored, raised.value.unsure) == (0, count)
    proxy.fault("refuse")
    with pytest.raises(BrokerUnavailable) as raised:
        broker.enqueue(b"y")
    assert not isinstance(raised.value, NoReply), "there was no connection"
    assert (raised.value.stored, raised.value.unsure) == (0, 0)
    proxy.fault("pass")
    assert broker.ping()
    broker.close()


@pytest.mark.fault("D19")
def test_in_a_transaction_of_the_caller_a_lost_reply_is_a_refusal(
    postgres, add_database, fault_proxy, unblocked
):
    """The transaction is gone with its connection, and all of it with that."""
    proxy = fault_proxy(postgres.server.port)
    add_database("behind", {**postgres.server.database(), "PORT": proxy.port})
    broker = OrmBroker(Conf.from_dict({"orm": "behind"}), "lost-in-a-transaction")
    with suppress(ZeroDivisionError), transaction.atomic("behind"):
        broker.enqueue(b"x")
        proxy.fault("half-close")
        with pytest.raises(BrokerUnavailable) as raised:
            broker.enqueue(b"y")
        assert not isinstance(raised.value, NoReply)
        proxy.fault("pass")
        raise ZeroDivisionError
    assert broker.queue_size() == 0
