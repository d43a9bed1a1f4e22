"""Before ``migrate``: whatever touches a table of ours says which command is missing."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.db import OperationalError, ProgrammingError, connection, transaction

from qcore.errors import StoreError
from qcore.models import Quarantine, Schedule, Task
from qcore.models.missing_tables import migrate_advice
from qcore.runtime import current
from qcore.tasks import async_task, count_group, delete_group, fetch, result, schedule

MIGRATE = "Run: python manage.py migrate --database=default"
MEMORY = "qcore.brokers.memory.MemoryBroker"


@pytest.fixture
def bare(db, settings):
    """A database in which the tables of qcore are not there yet."""
    settings.Q_CLUSTER = {"name": "tests", "broker_class": MEMORY}
    tables = [model._meta.db_table for model in (Task, Schedule, Quarantine)]
    for table in tables:
        _rename(table, f"{table}_later")
    yield
    if connection.vendor == "mysql":  # which renames whatever the transaction does
        for table in tables:
            _rename(f"{table}_later", table)


def _rename(table: str, other: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {other}")


@pytest.mark.parametrize(
    "call",
    [
        lambda: result("0" * 32),
        lambda: fetch("mail"),
        lambda: count_group("g"),
        lambda: delete_group("g"),
        lambda: schedule("chores.kind.add", 1, 2),
        lambda: async_task("chores.kind.add", 1, 2, sync=True),
        lambda: current.store().quarantine("q", b"x", "BadPackage", "not a package"),
    ],
    ids=["result", "fetch", "count", "delete", "schedule", "sync", "quarantine"],
)
def test_every_call_says_migrate(bare, call):
    with pytest.raises(StoreError) as raised, transaction.atomic():
        call()
    assert str(raised.value).endswith(MIGRATE)


@pytest.mark.parametrize("page", ["success", "failure", "schedule", "quarantine"])
@pytest.mark.parametrize("address", ["", "add/", "1/change/", "?q=x"])
def test_the_admin_says_migrate(bare, admin_client, page, address):
    response = admin_client.get(f"/admin/qcore/{page}/{address}")
    if (page, address) == ("schedule", "add/"):
        assert response.status_code == 200  # an empty form reads nothing
        return
    if address == "add/":
        assert response.status_code == 403  # nobody adds these
        return
    assert response.status_code == 302
    assert response.url == "/admin/"
    (message,) = get_messages(response.wsgi_request)
    assert str(message).endswith(MIGRATE)


@pytest.mark.parametrize(
    ("error", "is_missing"),
    [
        (OperationalError("no such table: qcore_task"), True),
        (ProgrammingError('relation "qcore_schedule" does not exist'), True),
        (ProgrammingError(1146, "Table 'shop.qcore_quarantine' doesn't exist"), True),
        (OperationalError(1054, "Unknown column 'iter_index' in 'field list'"), True),
        (OperationalError("no such table: shop_orders"), False),  # of a trigger
        (OperationalError("database is locked"), False),
        (OperationalError("disk I/O error on qcore_task"), False),
    ],
)
def test_what_an_error_means(error, is_missing):
    told = migrate_advice(error, "default")
    assert told.endswith(MIGRATE) is is_missing
    assert bool(told) is is_missing


def test_the_cause_counts():
    error = StoreError("cannot read")
    error.__cause__ = OperationalError("no such table: qcore_task")
    assert migrate_advice(error, "other").endswith("--database=other")
