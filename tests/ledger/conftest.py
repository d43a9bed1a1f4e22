"""A broker outside of the database, and the outbox before it."""

from __future__ import annotations

import chores.unhurried  # noqa: F401
import pytest
from chores.outside import OutsideBroker
from django.db import connections
from django.test import override_settings

from qcore.ledger import clock
from qcore.ledger.relay import Relay
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current

OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}


@pytest.fixture
def outside(transactional_db):
    """The broker; nothing waits in it, nor in the outbox."""
    with override_settings(Q_CLUSTER=OUTSIDE):
        OutsideBroker.errors.clear()
        broker = current.broker()
        broker.purge_queue()
        OutboxRow.objects.all().delete()
        yield broker
        OutsideBroker.errors.clear()
        broker.purge_queue()


@pytest.fixture
def relay(outside):
    return Relay(current.conf)


@pytest.fixture
def elsewhere(tmp_path, transactional_db):
    """The alias of another database, with the tables of the ledger."""
    alias, default = "elsewhere", connections.settings["default"]
    connections.settings[alias] = default | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "elsewhere.sqlite3"),
        "OPTIONS": {},
    }
    # by hand: the database of a test's own is none that pytest-django has prepared
    connections[alias].connect()
    with connections[alias].schema_editor() as editor:
        editor.create_model(OutboxRow)
        editor.create_model(Ticket)
    yield alias
    connections[alias].close()
    del connections[alias], connections.settings[alias]


@pytest.fixture
def ahead():
    """Let so many seconds pass for the ledger: ``ahead(30)``."""

    def advance(seconds):
        clock.Clock.offset += seconds

    yield advance
    clock.Clock.offset = 0.0
