"""What the tests of limits have in common: a queue outside of the database, and a cluster."""

from __future__ import annotations

import pytest
from django.test import override_settings
from support.limited import OUTSIDE
from support.stepped_claims import Cluster

from qcore.ledger.clock import Clock
from qcore.models import OutboxRow
from qcore.runtime import current


@pytest.fixture
def queue(transactional_db, monkeypatch):
    monkeypatch.setattr(Clock, "offset", 0.0)
    with override_settings(Q_CLUSTER=OUTSIDE):
        current.broker().purge_queue()
        OutboxRow.objects.all().delete()
        yield
        current.broker().purge_queue()


@pytest.fixture
def cluster(queue):
    return Cluster()
