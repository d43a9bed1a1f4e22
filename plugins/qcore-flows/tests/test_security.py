"""What flows keep: which functions they may call, and that no stored value runs code."""

from __future__ import annotations

import pickle

import pytest
from django.test import override_settings

from qcore import Discard
from qcore.errors import QcoreError, StoreError
from qcore.runtime import current
from qcore.tasks.execute import execute
from qcore.testing.drain import enqueued
from qcore_flows import Batch, Flow
from qcore_flows.calling import call_member
from qcore_flows.models import FlowRow, MemberRow
from qcore_flows.steps.values import Value

OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}

ECHO, FORBIDDEN = "chores.kind.echo", "chores.kind.add"
ran: list[str] = []


@pytest.fixture
def only_echo(queue):
    """A project that admits one function."""
    with override_settings(Q_CLUSTER=OUTSIDE | {"allowed_tasks": [ECHO]}):
        yield queue


@pytest.mark.parametrize(
    "call",
    [
        lambda: Batch().on_success(FORBIDDEN, 1),
        lambda: Batch().on_complete(FORBIDDEN, 1),
        lambda: Flow().on_first_failure(FORBIDDEN, 1),
        lambda: Batch().on_success(ECHO, 1, hook=FORBIDDEN),
        lambda: Batch().add(FORBIDDEN, 1),
        lambda: Batch().add_many(FORBIDDEN, [1]),
        lambda: Flow().add(FORBIDDEN, 1),
        lambda: Flow().add(ECHO, 1, hook=FORBIDDEN),
    ],
)
def test_no_member_and_no_callback_calls_a_function_that_is_not_admitted(
    only_echo, call
):
    with pytest.raises(QcoreError, match="allowed_tasks"):
        call()
    assert not FlowRow.objects.exists()


def test_a_callback_and_a_node_of_a_project_that_admits_more_do_not_run(queue):
    """They were stored before the setting, or by another project with these keys."""
    with Flow() as flow:
        first = flow.add(ECHO, 1)
        flow.add(FORBIDDEN, 1, after=[first])
        flow.on_complete(FORBIDDEN, 1)
    with override_settings(Q_CLUSTER=OUTSIDE | {"allowed_tasks": [ECHO]}):
        queue.end(first.id)
        (node,) = [task for task in enqueued() if task.func == FORBIDDEN]
        attempt, _ = execute(node, 1, "a worker")
        assert attempt.outcome == "failure"
        assert b"not admitted by Q_CLUSTER['allowed_tasks']" in attempt.value
        queue.end(node.id, outcome="failure")
        (callback,) = [task for task in enqueued() if task.id != node.id][-1:]
        assert callback.func == FORBIDDEN
        attempt, _ = execute(callback, 1, "a worker")
        assert b"not admitted by Q_CLUSTER['allowed_tasks']" in attempt.value


class Bomb:
    def __reduce__(self):
        return ran.append, ("opened",)


def test_a_stored_value_is_never_opened_with_a_serializer_that_is_not_accepted(queue):
    """Whoever can write to the database of the ledger runs no code in a worker."""
    ran.clear()
    with Flow() as flow:
        a = flow.add(ECHO, 5)
        b = flow.add(ECHO, a)
    queue.end(a.id, value=5)
    bomb = pickle.dumps(Bomb())
    MemberRow.objects.filter(pk=a.id).update(value=bomb, content="pickle")
    task = current.signer.verify(bytes(MemberRow.objects.get(pk=b.id).package))
    with pytest.raises(Discard, match=r"cannot be read: .*accepts json"):
        call_member(task, [None], {}, ECHO)
    with pytest.raises(StoreError, match="accepts json"):
        Value("pickle", bomb).load()
    assert ran == []
