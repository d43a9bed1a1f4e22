"""What ``qcore doctor`` is told of a database; and that looking at the head is cheap."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connections

from qcore import Conf
from qcore_orm import diagnosis
from qcore_orm.broker import OrmBroker


def levels(broker: OrmBroker, word: str) -> list[str]:
    return [found.level for found in broker.diagnose() if word in found.fact]


@pytest.mark.fault("E11")
def test_the_recommended_settings_of_sqlite_are_all_right(make_database, unblocked):
    found = make_database("sqlite").broker().diagnose()
    assert [one.level for one in found] == ["ok"]
    assert found[0].fact == "the SQLite file is in WAL mode"


@pytest.mark.fault("E11")
def test_plain_sqlite_is_told_what_to_set(add_database, unblocked, tmp_path: Path):
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")}
    add_database("plain", entry)
    found = OrmBroker(Conf.from_dict({"orm": "plain"})).diagnose()
    assert [one.level for one in found] == ["warning"] * 3
    advice = " ".join(one.advice for one in found)
    for word in ("journal_mode=WAL", "'timeout': 20", "'transaction_mode'"):
        assert word in advice


@pytest.mark.fault("E8")
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_connections_are_compared_with_the_workers(make_database, unblocked, kind):
    database = make_database(kind)
    assert levels(database.broker(), "connections") == ["ok"]
    assert levels(database.broker(workers=5000), "connections") == ["warning"]


@pytest.mark.parametrize(
    ("limit", "used", "level"),
    [(100, 10, "ok"), (100, 91, "warning"), (13, 1, "warning"), (14, 1, "ok")],
)
def test_connections(limit: int, used: int, level: str):
    (found,) = diagnosis.connections(limit, used, workers=8)
    assert found.level == level


@pytest.mark.fault("D17")
def test_a_long_transaction_is_told(make_database, unblocked, monkeypatch):
    database = make_database("postgres")
    broker = database.broker()
    other = connections[database.alias].copy("other")
    monkeypatch.setattr(diagnosis, "LONG_TRANSACTION", 0.01)
    assert levels(broker, "a transaction has been open") == []
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("DELETE FROM qcore_orm_ormq WHERE id = -1")
            cursor.execute("SELECT txid_current(), pg_sleep(0.05)")
        assert levels(broker, "a transaction has been open") == ["warning"]
    finally:
        other.close()


def test_a_package_that_mysql_may_refuse(make_database, unblocked):
    database = make_database("mariadb")
    assert levels(database.broker(), "max_allowed_packet") == []
    broker = database.broker(max_payload=2**30)
    assert levels(broker, "max_allowed_packet") == ["warning"]


def test_the_oldest_is_read_from_the_index(make_database, unblocked):
    """PostgreSQL sorts nothing for it, in a table that was never analysed."""
    database = make_database("postgres")
    broker = database.broker()
    database.run("TRUNCATE qcore_orm_ormq")
    broker.enqueue_many([b"x" * 100] * 5000)
    asked: list[str] = []

    def explained(execute, sql, params, many, context):
        with context["connection"].connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}", params)
            asked.extend(row[0] for row in cursor.fetchall())
        return execute(sql, params, many, context)

    with connections[database.alias].execute_wrapper(explained):
        assert broker.oldest_waiting() is not None
    plan = "\n".join(asked)
    assert "qcore_orm_claim" in plan
    assert "Sort" not in plan
    broker.purge_queue()
