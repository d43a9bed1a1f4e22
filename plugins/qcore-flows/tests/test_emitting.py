"""Who tells of an event or an end, and who waits for it, in two transactions at once."""

from __future__ import annotations

import threading

import msgspec
import pytest
from chores import durable
from django.db import connection, connections, transaction

from qcore.envelope import Outcome
from qcore.runtime import current
from qcore.settled import Settled
from qcore.tasks.calls import build
from qcore.testing.needs import settle
from qcore_flows import emit
from qcore_flows.models import Event, Run, RunStep, Spawned
from qcore_flows.steps import children
from qcore_flows.steps.memory import Memory
from qcore_flows.steps.names import digest

pytestmark = pytest.mark.django_db(transaction=True)

needs_two = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="SQLite lets one transaction write at a time",
)


class Other(threading.Thread):
    """A thread with connections of its own; what it raises, ``end`` raises."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.error = work, None
        self.start()

    def run(self):
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - the test is to be told
            self.error = error
        finally:
            connections.close_all()

    def end(self):
        self.join(60)
        assert not self.is_alive(), "it waits for ever"
        if self.error is not None:
            raise self.error


def waiting_run(state, **columns):
    """Make a durable task that waits for the event "go"."""
    task = build(durable.strict, ("x",), durable=True)
    task = msgspec.structs.replace(task, needs=("flows",))
    Run.objects.create(
        task_id=task.id, func=task.func, state=state, created=0.0, **columns
    )
    RunStep.objects.create(
        run_id=task.id, digest=digest("reply"), name="reply", kind="wait",
        event=digest("go"), began=0.0,
    )  # fmt: skip
    return task


@needs_two
@pytest.mark.fault("S4")
def test_an_event_that_is_emitted_while_its_run_is_suspended_wakes_it():
    """The emitter has not committed when the run is settled as suspended."""
    task = waiting_run("running")
    suspended = Settled(task=task, outcome=Outcome.SUSPENDED, final=False)
    hook = current.registry.features.settle["flows"]
    settling = threading.Event()

    def settle_it():
        with transaction.atomic():
            settling.set()
            hook(settled=[suspended])

    with transaction.atomic():
        assert emit("go")
        other = Other(settle_it)
        settling.wait(60)
    other.end()
    assert Run.objects.get().state == "waiting"


@needs_two
@pytest.mark.fault("S5")
def test_a_task_that_ends_while_its_run_begins_to_wait_wakes_it():
    """The run has looked, and not committed yet that it waits, when the end is settled."""
    task = waiting_run("running", start=1)
    child = build("math.sqrt", (4,), spawned_by=task.id)
    Spawned.objects.create(task_id=child.id, run_id=task.id, touched=0.0)
    end = Settled(task=child, outcome=Outcome.SUCCESS, final=True)
    hook = current.registry.features.settle["flows"]
    settling = threading.Event()

    def settle_it():
        with transaction.atomic():
            settling.set()
            hook(settled=[end])

    ledger = current.ledger
    with transaction.atomic():
        Memory(ledger, task.id, 1).fenced(ledger.now(), waits_for="end")
        (found,) = children.find(ledger, task.id, [child.id]).values()
        assert found.outcome is None
        other = Other(settle_it)
        settling.wait(60)
        children.wait_for(ledger, task.id, [child.id])
    other.end()
    assert Spawned.objects.get().outcome == "success"
    assert Run.objects.get().woken, "so it goes on where its suspension is settled"


@needs_two
@pytest.mark.fault("S4")
def test_of_two_that_emit_an_event_one_is_first():
    emitting = threading.Event()
    answers = []

    def emit_it():
        emitting.set()
        answers.append(emit("go", 2))

    with transaction.atomic():
        assert emit("go", 1)
        other = Other(emit_it)
        emitting.wait(60)
    other.end()
    assert answers == [False]
    assert Event.objects.get().value == b"1"


def test_an_event_that_is_rolled_back_wakes_nobody():
    waiting_run("suspended")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        emit("go")
        raise ZeroDivisionError
    assert Run.objects.get().state == "suspended"
    assert not Event.objects.exists()
    assert emit("go")
    assert Run.objects.get().state == "waiting"


@pytest.mark.parametrize("outcome", ["success", "failure", "cancelled"])
def test_nobody_wakes_a_run_that_has_ended(outcome):
    task = waiting_run("suspended")
    settle(task, outcome)
    run = Run.objects.get()
    assert run.ended is not None
    emit("go")
    assert Run.objects.get().state == outcome
    assert RunStep.objects.get().event is None


def test_a_name_may_have_any_character():
    """The column of a database need not take it: it is kept by its digest."""
    assert emit("paid:\0 \udcff", 1)
    assert not emit("paid:\0 \udcff", 2)
    assert Event.objects.get().name == r"paid:\x00 \udcff"
