"""One member that is poison: a schedule, a slot or a queue that something refuses.

The others fire and are sent, and what is refused shows why.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Iterable, Iterator

import pytest
import time_machine
from django.db import DataError, InternalError, OperationalError, connection
from django.db.utils import Error
from django.test import override_settings

from qcore.brokers.memory import MemoryBroker
from qcore.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigError,
    PayloadTooLarge,
    StoreError,
)
from qcore.models import Schedule, ScheduleSlot
from qcore.runtime import current
from qcore.schedules import failures, firing, outbox
from qcore.schedules.orm import OrmScheduler
from qcore.signals import pre_enqueue

NOW = dt.datetime(2026, 1, 1, 12, 0, 30, tzinfo=dt.UTC)
SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}

pytestmark = pytest.mark.fault("F16")


@pytest.fixture(autouse=True)
def settings_of_the_cluster() -> Iterator[None]:
    with override_settings(Q_CLUSTER=SETTINGS):
        yield


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW.timestamp(), tick=False) as traveller:
        yield traveller


def row(name: str, **fields: object) -> Schedule:
    usual = {"func": "math.sqrt", "args": "[4]", "schedule_type": "H"}
    return Schedule.objects.create(
        name=name, **(usual | {"next_run": NOW - dt.timedelta(seconds=9)} | fields)
    )


def to(queue: str) -> str:
    return f'{{"q_options": {{"cluster": "{queue}"}}}}'


def sent(queue: str | None = None) -> list[str | None]:
    """Return the groups of the tasks of a queue, and empty it."""
    broker = current.broker(queue)
    deliveries = broker.dequeue(1000)
    broker.acknowledge_many([d.receipt for d in deliveries])
    verify = current.signer.verify
    return sorted(verify(d.package, broker.queue).group for d in deliveries)


def scheduler() -> OrmScheduler:
    return OrmScheduler(current.conf)


class Refusing:
    """A database that refuses a statement with certain bytes among its parameters."""

    def __init__(self, poison: bytes, error: Exception) -> None:
        self.poison, self.error = poison, error

    def __call__(self, execute, sql, params, many, context):
        if any(self.poison in one for one in packages(params or ())):
            raise self.error
        return execute(sql, params, many, context)


def packages(params: Iterable[object]) -> Iterator[bytes]:
    """Yield the bytes among parameters; psycopg has them in arrays and wrapped."""
    for one in params:
        plain = getattr(one, "obj", one)
        if isinstance(plain, (list, tuple)):
            yield from packages(plain)
        elif isinstance(plain, (bytes, bytearray, memoryview)):
            yield bytes(plain)


# -- the database refuses one ----------------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [ValueError("A string literal cannot contain NUL"), DataError("too long"),
     InternalError("a trigger refuses it"), RuntimeError("of a driver")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_slot_that_the_database_refuses(db, clock, error):
    bad, good = row("bad", func="shop.poison"), [row(f"n{n}") for n in range(3)]
    with connection.execute_wrapper(Refusing(b"shop.poison", error)):
        scheduler().tick()
    assert sent() == [one.name for one in good]
    bad.refresh_from_db()
    assert (bad.tries, bad.next_run) == (1, NOW - dt.timedelta(seconds=9))
    assert str(error) in bad.error
    clock.move_to(bad.retry_at)  # what was the reason has gone
    scheduler().tick()
    assert sent() == ["bad"]


def test_an_error_that_may_pass_is_no_fault_of_the_schedule_at_first(db, clock):
    bad = row("bad", func="shop.poison")
    ticking, told = scheduler(), []
    poison = Refusing(b"shop.poison", OperationalError("deadlock detected"))
    with connection.execute_wrapper(poison):
        for n in range(failures.PASSING):
            row(f"n{n}")
            try:
                ticking.tick()
            except StoreError as error:
                told.append(str(error))
            assert sent() == [f"n{n}"]
            bad.refresh_from_db()
            assert (bad.tries == 0) == (n < failures.PASSING - 1)
    assert len(told) == failures.PASSING - 1
    assert "deadlock" in told[0]
    assert "deadlock" in bad.error


def test_a_database_that_is_away_is_nobodys_fault(db, clock):
    rows = [row(f"n{n}") for n in range(3)]
    ticking, looks = scheduler(), []

    def away(execute, sql, params, many, context):
        if not sql.startswith("SELECT ") or sql == "SELECT 1":
            looks.append(sql)
            raise OperationalError("gone away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(away), pytest.raises(StoreError, match="gone"):
        ticking.tick()
    assert len(looks) < len(rows)
    assert not Schedule.objects.exclude(error="").exists()
    ticking.tick()
    assert len(sent()) == 3


def test_a_schedule_that_cannot_even_be_noted_is_left_alone(db, clock):
    bad = row("bad", next_run=NOW - dt.timedelta(seconds=13))
    row("good")
    ticking, tries = scheduler(), []

    def refuse(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and any("12:00:17" in str(one) for one in params):
            tries.append(sql)
            raise InternalError("a trigger refuses it")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        ticking.tick()
        assert sent() == ["good"]
        count = len(tries)
        row("later")
        ticking.tick()
        assert ticking.tick() > 0
        assert sent() == ["later"]
    assert len(tries) == count
    bad.refresh_from_db()
    assert bad.error == ""
    ticking._firing.failures._resting.clear()  # the pause is over
    ticking.tick()
    assert sent() == ["bad"]


def test_an_error_that_no_column_takes_is_noted_all_the_same(db, clock):
    bad = row("bad", func="shop.poison")
    error = RuntimeError("a\0b \ud800 redis://:secret@host" + "x" * 10_000)
    with connection.execute_wrapper(Refusing(b"shop.poison", error)):
        scheduler().tick()
    bad.refresh_from_db()
    assert r"a\x00b \ud800" in bad.error
    assert "secret" not in bad.error
    assert len(bad.error) < 3000


def test_a_receiver_whose_query_fails_stops_no_schedule(transactional_db, clock):
    def note(sender, task, **_):
        if task["func"] == "shop.poison":
            Schedule.objects.create(name="bad", func="x.y")  # it is there

    row("bad", func="shop.poison")
    row("good")
    pre_enqueue.connect(note)
    try:
        scheduler().tick()
    finally:
        pre_enqueue.disconnect(note)
    assert sent() == ["bad", "good"]


@pytest.mark.fault("F16")
@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()], ids=repr)
def test_a_receiver_that_leaves_stops_no_schedule(transactional_db, clock, error):
    """Neither is an Exception, and each would end the thread and all that runs."""

    def leave(sender, task, **_):
        if task["func"] == "shop.poison":
            raise error

    bad = row("bad", func="shop.poison")
    row("good")
    pre_enqueue.connect(leave)
    try:
        scheduler().tick()
    finally:
        pre_enqueue.disconnect(leave)
    assert sent() == ["good"]
    bad.refresh_from_db()
    assert type(error).__name__ in bad.error


# -- much of it -------------------------------------------------------------------------
def test_many_large_slots_are_fired_in_parts(transactional_db, clock):
    """A hundred at once are more than MariaDB takes in one statement."""
    large = os.urandom(100_000).hex()
    first = NOW - dt.timedelta(minutes=99)
    row("large", args=f'["{large}"]', schedule_type="I", minutes=1, next_run=first,
        func="shop.tasks.take")  # fmt: skip
    row("good", next_run=NOW)
    ticking, found = scheduler(), []
    for _ in range(10):
        if ticking.tick() > 0:
            break
        found.append(len(sent()))
    assert sum(found) + len(sent()) == 101
    assert max(found) * len(large) <= firing.TICK_BYTES + firing.STATEMENT_BYTES
    assert not ScheduleSlot.objects.filter(sent=None).exists()
    slots = list(ScheduleSlot.objects.values_list("slot", flat=True))
    assert len(slots) == 101


def test_what_waits_is_sent_in_parts(db, clock, monkeypatch):
    for n in range(5):
        row(f"n{n}", args=f'["{"x" * 1000}"]', func="shop.tasks.take")
    monkeypatch.setattr(outbox, "TICK_BYTES", 2500)
    ticking = scheduler()
    for left in (3, 1, 0):
        wait = ticking.tick()
        assert ScheduleSlot.objects.filter(sent=None).count() == left
        assert (wait == 0) == (left > 0)
    assert len(sent()) == 5


# -- names ------------------------------------------------------------------------------
@pytest.mark.parametrize("queue", ["q" * 300, "a\\u0000b"], ids=["long", "nul"])
def test_the_name_of_a_queue_that_no_table_takes(transactional_db, clock, queue):
    bad = row("bad", kwargs=to(queue))
    row("good")
    ticking = scheduler()
    ticking.tick()
    assert sent() == ["good"]
    bad.refresh_from_db()
    assert bad.tries == 1
    assert bad.error
    assert not ScheduleSlot.objects.filter(schedule=bad).exists()


class Particular(MemoryBroker):
    """A broker with rules for names, and with things that it refuses."""

    refuses: object = staticmethod(lambda queue, package: None)
    max_batch = 4

    def __init__(self, conf, queue=None):
        super().__init__(conf, queue)
        if "!" in self.queue:
            raise ConfigError(f"the queue {self.queue!r} cannot have that name")

    def enqueue_many(self, packages, *, delay=0):
        for package in packages:
            if error := self.refuses(self.queue, package):
                raise error
        return super().enqueue_many(packages, delay=delay)


@pytest.fixture
def refuse(monkeypatch):
    monkeypatch.setattr(current, "broker", lambda q=None: Particular(current.conf, q))
    return lambda rule: monkeypatch.setattr(Particular, "refuses", staticmethod(rule))


def test_a_queue_that_the_broker_cannot_have(db, clock, refuse):
    bad = row("bad", kwargs=to("a!"))
    row("good")
    scheduler().tick()
    assert sent() == ["good"]
    bad.refresh_from_db()
    assert "ConfigError: the queue 'a!' cannot have that name" in bad.error
    assert not ScheduleSlot.objects.filter(schedule=bad).exists()


def test_without_any_broker_no_schedule_is_the_reason(db, clock, monkeypatch):
    row("good")

    def missing(queue=None):
        raise ConfigError("no broker")

    with monkeypatch.context() as broken:
        broken.setattr(current, "broker", missing)
        with pytest.raises(ConfigError):
            scheduler().tick()
    assert Schedule.objects.get().error == ""
    scheduler().tick()
    assert sent() == ["good"]


# -- the broker refuses one ----------------------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [BrokerError("no"), PayloadTooLarge("no"), RuntimeError("no")],
    ids=lambda error: type(error).__name__,
)
def test_a_package_that_the_broker_refuses(db, clock, refuse, error):
    bad = row("bad", func="shop.poison")
    for n in range(9):
        row(f"n{n}")
    refuse(lambda queue, package: error if b"shop.poison" in package else None)
    scheduler().tick()
    assert sent() == [f"n{n}" for n in range(9)]
    bad.refresh_from_db()
    assert "is not sent: " in bad.error
    assert "no" in bad.error
    assert not ScheduleSlot.objects.filter(sent=None).exists()


def test_a_queue_that_refuses_everything(db, clock, refuse):
    """Its slots wait, and no more of them are made; all others are sent in time."""
    bad = [row(f"bad{n}", kwargs=to("closed")) for n in range(4)]
    row("good")
    error = BrokerError("access denied")
    refuse(lambda queue, package: error if queue == "closed" else None)
    ticking = scheduler()
    ticking.tick()
    assert sent() == ["good"]
    assert ScheduleSlot.objects.filter(sent=None).count() == 4
    for one in bad:
        one.refresh_from_db()
        assert "waits for queue 'closed': BrokerError: access denied" in one.error
    clock.shift(3600)
    row("later", next_run=NOW, schedule_type="O")
    ticking.tick()
    assert sent() == ["good", "later"]
    bad[0].refresh_from_db()
    assert bad[0].tries == 1
    assert "access denied" in bad[0].error
    assert ScheduleSlot.objects.filter(sent=None).count() == 4
    refuse(lambda queue, package: None)
    clock.move_to(bad[0].retry_at)
    ticking._outbox._rests["closed"].until = 0.0  # the pause is over
    ticking.tick()
    clock.shift(600)
    ticking.tick()
    assert len(sent("closed")) == 8


def test_a_queue_that_is_away_keeps_no_other_waiting(db, clock, refuse, monkeypatch):
    """However much of it there is at the head of what waits."""
    monkeypatch.setattr(outbox, "BATCH", 3)
    for n in range(5):
        row(f"away{n}", kwargs=to("away"), next_run=NOW - dt.timedelta(minutes=2))
    error = BrokerUnavailable("away")
    refuse(lambda queue, package: error if queue == "away" else None)
    ticking = scheduler()
    with pytest.raises(BrokerUnavailable):
        ticking.tick()
    row("good")
    ticking.tick()
    assert sent() == ["good"]


def test_a_broker_in_this_database_that_refuses_one(db, clock, refuse, monkeypatch):
    """What was sent beside it is noted as sent, and no more than that."""
    monkeypatch.setattr(Particular, "database", "default")

    def rule(queue, package):
        if b"shop.poison" not in package:
            return None
        try:
            Schedule.objects.create(name="bad", func="x.y")  # the transaction is broken
        except Error as error:
            return BrokerError(str(error))
        raise AssertionError

    row("bad", func="shop.poison")
    for n in range(3):
        row(f"n{n}")
    refuse(rule)
    scheduler().tick()
    assert sent() == ["n0", "n1", "n2"]
    assert not ScheduleSlot.objects.filter(sent=None).exists()
