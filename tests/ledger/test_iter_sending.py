"""The calls of an ``async_iter`` and the task that follows are sent together, or not at all."""

from __future__ import annotations

import chores.kind  # noqa: F401
import pytest
from chores.outside import OutsideBroker
from django.db import transaction
from django.test import override_settings

from qcore.errors import BrokerUnavailable, EnqueueError
from qcore.models import OutboxRow
from qcore.tasks import async_iter, queue_size
from qcore.tasks.calls import follow_on_id

OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}


def send():
    return async_iter("chores.kind.add", [(1, 1)], on_complete="chores.kind.echo")


def held(using="default"):
    rows = OutboxRow.objects.using(using).order_by("id")
    return dict(rows.values_list("task_id", "held_by"))


@pytest.mark.fault("G24")
@pytest.mark.parametrize("outbox", [False, None, True])
def test_a_broker_that_is_away_leaves_all_of_it_in_the_outbox(outside, relay, outbox):
    more = {} if outbox is None else {"outbox": outbox}
    with override_settings(Q_CLUSTER=OUTSIDE | more):
        OutsideBroker.errors[:] = [BrokerUnavailable("away")]
        group = send()
    assert len(held()) == 2
    assert held()[follow_on_id(group)] == "async_iter"
    assert queue_size() == 0
    OutsideBroker.errors.clear()
    relay.tick()
    assert queue_size() == 1
    assert list(held()) == [follow_on_id(group)]


@pytest.mark.parametrize("commit", ["on_commit", "now"])
def test_a_rollback_takes_all_of_it(outside, commit):
    with override_settings(Q_CLUSTER=OUTSIDE | {"commit": commit}):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            send()
            1 / 0  # noqa: B018
        assert queue_size() == 0 and held() == {}


@pytest.fixture(params=["the ledger there", "the transaction there"])
def two(request, outside, elsewhere):
    """The databases of the ledger and of the caller's transaction."""
    ledger, caller = "default", elsewhere
    if request.param == "the ledger there":
        ledger, caller = elsewhere, "default"
    with override_settings(Q_CLUSTER=OUTSIDE | {"ledger": ledger}):
        yield ledger, caller


def test_a_transaction_of_another_database_is_waited_for(two):
    ledger, caller = two
    with transaction.atomic(caller):
        group = send()
        assert queue_size() == 0 and held(ledger) == {}
    assert queue_size() == 1
    assert held(ledger) == {follow_on_id(group): "async_iter"}


def test_its_rollback_leaves_nothing(two):
    ledger, caller = two
    with pytest.raises(ZeroDivisionError), transaction.atomic(caller):
        send()
        1 / 0  # noqa: B018
    assert queue_size() == 0 and held(ledger) == {}


def test_what_its_broker_refuses_is_told_at_the_call(two, monkeypatch):
    ledger, caller = two

    def check_size(self, packages):
        raise EnqueueError("too large")

    with transaction.atomic(caller):
        monkeypatch.setattr(OutsideBroker, "check_size", check_size)
        with pytest.raises(EnqueueError, match="too large"):
            send()
    assert queue_size() == 0 and held(ledger) == {}


def test_what_fails_after_the_commit_is_in_the_log(two, monkeypatch, caplog):
    _, caller = two
    with transaction.atomic(caller):
        send()
        monkeypatch.setattr("qcore.tasks.completions.prepare", lambda task: 1 / 0)
    assert f"not sent after the commit of database '{caller}'" in caplog.text
    assert "chores.kind.add" in caplog.text
