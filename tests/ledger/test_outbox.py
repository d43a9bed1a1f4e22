"""The outbox and its relay: of two that want a row, one gets it; none is ever lost."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from chores.outside import OutsideBroker
from django.db import (
    DataError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcore.envelope import Task, new_id
from qcore.errors import BrokerError, BrokerUnavailable, ConfigError, StoreError
from qcore.ledger import clock
from qcore.ledger import relay as relay_module
from qcore.ledger.outbox import TERM, Outbox
from qcore.ledger.relay import Relay
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.testing.drain import enqueued


@pytest.fixture
def outbox(outside):
    return Outbox(current.conf)


def entry(queue="tests", body=b"[[1],{}]"):
    task = Task(
        id=new_id(), name="add-1", func="chores.kind.add", queue=queue, created=0.0,
        content="json", body=body, relayed=True,
    )  # fmt: skip
    return (queue, task.id, current.signer.sign(task), 0)


def left():
    return list(OutboxRow.objects.order_by("id").values_list("task_id", flat=True))


def ids_of(entries):
    return [task_id for _, task_id, _, _ in entries]


class TestClaims:
    def test_the_oldest_first_and_no_more_than_asked_for(self, outbox):
        entries = [entry() for _ in range(5)]
        for one in reversed(entries):
            outbox.write([one])
        first = outbox.claim("tests", "a", limit=3, size=10**6)
        assert [row.task_id for row in first] == ids_of(entries)[:1:-1]
        assert [row.package for row in first] == [one[2] for one in entries[:1:-1]]
        others = outbox.claim("tests", "b", limit=3, size=10**6)
        assert [row.task_id for row in others] == ids_of(entries)[1::-1]
        assert outbox.claim("tests", "c", limit=3, size=10**6) == []

    def test_of_its_own_queue_alone(self, outbox):
        outbox.write([entry("mail"), entry("Tests")])
        assert outbox.claim("tests", "a", limit=9, size=10**6) == []
        assert outbox.next_due("tests") is None
        assert outbox.next_due("mail") <= 0

    def test_bytes_bound_a_claim_and_one_row_always_comes(self, outbox):
        outbox.write([entry(body=b"x" * 5000) for _ in range(4)])
        assert len(outbox.claim("tests", "a", limit=9, size=11_000)) == 2
        assert len(outbox.claim("tests", "b", limit=9, size=10)) == 1

    def test_a_claim_ends_by_itself(self, outbox, ahead):
        outbox.write([entry()])
        (row,) = outbox.claim("tests", "a", limit=9, size=10**6)
        assert TERM - 5 < outbox.next_due("tests") <= TERM
        ahead(TERM - 5)
        assert outbox.claim("tests", "b", limit=9, size=10**6) == []
        ahead(5)
        (again,) = outbox.claim("tests", "b", limit=9, size=10**6)
        assert (row.tries, again.tries) == (0, 1)

    def test_who_has_lost_a_claim_changes_nothing(self, outbox, ahead):
        outbox.write([entry()])
        (row,) = outbox.claim("tests", "a", limit=9, size=10**6)
        ahead(TERM)
        outbox.claim("tests", "b", limit=9, size=10**6)
        outbox.delete("a", [row.id])
        outbox.delete_tasks("a", [row.task_id])
        outbox.put_off("a", [row.id], 0)
        outbox.put_off_tasks("a", [row.task_id], 0)
        assert left() == [row.task_id]
        assert outbox.next_due("tests") > 0
        outbox.delete("b", [row.id])
        assert left() == []

    def test_a_row_without_a_time_is_never_due(self, outbox, ahead):
        outbox.write([entry()])
        OutboxRow.objects.update(due=None)
        ahead(10**9)
        assert outbox.next_due("tests") is None
        assert outbox.claim("tests", "a", limit=9, size=10**6) == []

    def test_more_rows_than_a_statement_takes(self, outbox):
        entries = [entry() for _ in range(1200)]
        outbox.write(entries)
        rows = outbox.claim("tests", "a", limit=1200, size=10**8)
        assert [row.task_id for row in rows] == ids_of(entries)
        outbox.put_off("a", [row.id for row in rows], 0)
        rows = outbox.claim("tests", "b", limit=1200, size=10**8)
        assert len(rows) == 1200
        outbox.delete("b", [row.id for row in rows])
        assert left() == []

    def test_the_claim_reads_the_head_of_its_index(self, outbox):
        """And so it is as fast among a million rows as among ten."""
        outbox.write([entry() for _ in range(300)], delay=9999)
        sql = []

        def keep(execute, statement, params, many, context):
            sql.append((statement, params))
            return execute(statement, params, many, context)

        with connection.execute_wrapper(keep):
            outbox.next_due("tests")
            outbox.claim("tests", "a", limit=5, size=10**6)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET enable_seqscan = off")  # the table is small
            for statement, params in sql:
                if "SELECT" not in statement or "package)" in statement:
                    continue
                plan = (
                    "EXPLAIN "
                    if connection.vendor != "sqlite"
                    else ("EXPLAIN QUERY PLAN ")
                )
                cursor.execute(plan + statement, params)
                told = str(cursor.fetchall())
                assert "qcore_outbox_due" in told
                assert not any(word in told.lower() for word in ("sort", "temp b-tree"))


steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "claim", "send", "put off", "wait"]),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
    max_size=30,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_no_history_of_claims_loses_a_row_or_gives_it_to_two(outbox, ahead, steps):
    """Three relays, that may be stopped for any time between any two steps."""
    OutboxRow.objects.all().delete()
    written, sent = set(), Counter()
    held = {n: ("", []) for n in range(3)}
    until = dict.fromkeys(range(3), 0.0)
    clock.Clock.offset = now = 0.0
    for step, who, count in steps:
        token, rows = held[who]
        if step == "write":
            entries = [entry() for _ in range(count)]
            outbox.write(entries)
            written |= set(ids_of(entries))
        elif step == "claim":
            token = new_id()
            rows = outbox.claim("tests", token, limit=count, size=10**6)
            for other, (_, theirs) in held.items():
                if other != who and until[other] > now + 5:
                    assert not {r.id for r in rows} & {r.id for r in theirs}
            held[who], until[who] = (token, rows), now + TERM
        elif step == "send":
            sent.update(row.task_id for row in rows)
            outbox.delete(token, [row.id for row in rows])
            held[who] = ("", [])
        elif step == "put off":
            outbox.put_off(token, [row.id for row in rows], 0)
            held[who] = ("", [])
        else:
            ahead(TERM)
            now += TERM
        assert written == set(left()) | set(sent)
    ahead(2 * TERM)
    rows = outbox.claim("tests", "the last", limit=1000, size=10**8)
    assert {row.task_id for row in rows} == set(left())


class TestRelay:
    def test_sends_in_order_and_says_when_to_come_again(self, outbox, relay):
        entries = [entry() for _ in range(5)]
        outbox.write(entries)
        outbox.write([entry()], delay=1)
        assert relay.tick() == 0
        assert [task.id for task in enqueued()] == ids_of(entries)
        assert 0 < relay.tick() <= 1

    def test_looks_again_soon_where_nothing_waits(self, relay):
        looks = {relay.tick() for _ in range(20)}
        assert all(1 <= seconds <= 2 for seconds in looks)
        assert len(looks) > 1, "clusters that start together do not ask together"

    def test_a_broker_that_is_away_gets_them_later(self, outbox, relay, ahead):
        entries = [entry() for _ in range(3)]
        outbox.write(entries)
        OutsideBroker.errors[:] = [BrokerUnavailable("away")]
        with pytest.raises(BrokerUnavailable):
            relay.tick()
        assert left() == ids_of(entries)
        ahead(1)
        relay.tick()
        assert [task.id for task in enqueued()] == ids_of(entries)

    @pytest.mark.fault("C14")
    def test_a_package_that_is_refused_for_good_stops_no_other(
        self, outbox, relay, ahead, monkeypatch, caplog
    ):
        entries = [entry() for _ in range(8)]
        bad = entries[2]
        outbox.write(entries)
        refuse(monkeypatch, bad[2])
        relay.tick()
        assert {task.id for task in enqueued()} == set(ids_of(entries)) - {bad[1]}
        assert left() == [bad[1]]
        assert f"task {bad[1]} stays in the outbox" in caplog.text
        assert outbox.next_due("tests") > 0
        waits = []
        for _ in range(4):
            ahead(outbox.next_due("tests"))
            relay.tick()
            waits.append(round(outbox.next_due("tests")))
        assert waits == [4, 8, 16, 32]

    @pytest.mark.fault("C14")
    def test_a_call_that_fails_for_one_as_if_the_service_were_away(
        self, outbox, relay, ahead, monkeypatch
    ):
        """The service answers a ping, so it is the package: the others are sent."""
        entries = [entry() for _ in range(4)]
        outbox.write(entries)
        refuse(monkeypatch, entries[0][2], BrokerUnavailable("gone away"))
        for _ in range(relay_module.FEW - 1):
            with pytest.raises(BrokerUnavailable):
                relay.tick()
            ahead(1)
        relay.tick()
        assert left() == ids_of(entries)[:1]

    def test_a_broker_that_takes_nothing_is_the_reason_itself(
        self, outbox, relay, monkeypatch, ahead
    ):
        entries = [entry() for _ in range(9)]
        outbox.write(entries)
        with monkeypatch.context() as patch:
            refuse(patch, *(one[2] for one in entries))
            with pytest.raises(BrokerError, match="refused"):
                relay.tick()
        assert left() == ids_of(entries)
        ahead(1)
        relay.tick()
        assert left() == []

    @pytest.mark.fault("C13")
    @pytest.mark.fault("C14")
    @pytest.mark.parametrize("error", [DataError("too long"), TypeError("odd")])
    def test_what_a_broker_raises_untranslated_is_not_taken_for_the_outbox(
        self, outbox, relay, monkeypatch, error
    ):
        """A broker of a stranger that keeps packages in a database says so as Django does."""
        entries = [entry() for _ in range(8)]
        outbox.write(entries)
        refuse(monkeypatch, entries[2][2], error)
        relay.tick()
        assert left() == [entries[2][1]]

    def test_what_is_no_package_is_sent_once_all_the_same(
        self, outbox, relay, monkeypatch, caplog
    ):
        """Clusters put it aside; its neighbours are not sent twice because of it."""
        odd, sound = ("tests", new_id(), b"no package", 0), entry()
        outbox.write([odd, sound])
        told = []
        monkeypatch.setattr(OutsideBroker, "supports_priority", False)
        monkeypatch.setattr(current.registry, "observed", lambda hook: True)
        monkeypatch.setattr(
            current.registry, "notify", lambda hook, task: told.append(task.id)
        )
        relay.tick()
        assert (left(), told) == ([], [sound[1]])
        assert current.broker().queue_size() == 2
        assert f"{odd[1]} was sent, and is no package" in caplog.text

    def test_never_deletes_before_it_has_sent(self, outbox, relay, monkeypatch):
        outbox.write([entry()])
        seen = []
        real = OutsideBroker.enqueue_many

        def look(self, packages, **options):
            seen.append(left())
            return real(self, packages, **options)

        monkeypatch.setattr(OutsideBroker, "enqueue_many", look)
        relay.tick()
        assert len(seen[0]) == 1
        assert left() == []

    @pytest.mark.fault("C13")
    def test_a_database_that_goes_away_between_send_and_delete(
        self, outbox, relay, monkeypatch, ahead
    ):
        """At least once: the package comes twice, with one id that is recognised."""
        entries = [entry()]
        outbox.write(entries)

        def fail(self, token, ids):
            raise OperationalError("gone away")

        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "delete", fail)
            with pytest.raises(StoreError, match="gone away"):
                relay.tick()
        assert 0 < relay.tick() <= 2, "the claim holds"
        ahead(TERM)
        relay.tick()
        assert [task.id for task in enqueued()] == ids_of(entries) * 2
        assert all(task.may_be_doubled for task in enqueued())
        assert left() == []

    def test_what_takes_too_long_is_left_to_others(self, outbox, relay, monkeypatch):
        monkeypatch.setattr(OutsideBroker, "max_batch", 2)
        monkeypatch.setattr(relay_module, "LATEST", -1.0)
        outbox.write([entry() for _ in range(6)])
        relay.tick()
        assert len(enqueued()) == 0
        assert outbox.next_due("tests") <= 0

    def test_sends_in_the_transaction_of_a_broker_that_is_there(
        self, outbox, relay, monkeypatch
    ):
        outbox.write([entry()])
        monkeypatch.setattr(OutsideBroker, "database", "default")
        real = OutsideBroker.enqueue_many

        def look(self, packages, **options):
            assert connection.in_atomic_block
            return real(self, packages, **options)

        monkeypatch.setattr(OutsideBroker, "enqueue_many", look)
        relay.tick()
        assert (len(enqueued()), left()) == (1, [])

    @pytest.mark.fault("C13")
    @pytest.mark.skipif(
        connection.vendor == "sqlite", reason="one connection, in memory, for a test"
    )
    def test_many_relays_at_once_send_each_once(self, outbox):
        entries = [entry() for _ in range(500)]
        outbox.write(entries)
        sent, errors, lock = Counter(), [], threading.Lock()

        class Taking(Relay):
            def _send(self, broker, token, rows):
                self._outbox.delete(token, [row.id for row in rows])
                with lock:
                    sent.update(row.task_id for row in rows)

        def run():
            try:
                relay = Taking(current.conf)
                while relay.tick() == 0:
                    pass
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)
            finally:
                connections.close_all()

        small = pytest.MonkeyPatch()
        small.setattr(relay_module, "BATCH", 20)
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        small.undo()
        assert errors == []
        assert sent == Counter(ids_of(entries))
        assert left() == []


def test_a_database_that_cannot_have_the_ledger(settings, monkeypatch):
    monkeypatch.setattr(connection, "vendor", "oracle")
    with pytest.raises(ConfigError, match="does not work on"):
        clock.now(connection)


def test_an_alias_that_is_none(settings):
    settings.Q_CLUSTER = {"name": "tests", "ledger": "defualt"}
    with pytest.raises(ConfigError, match="did you mean 'default'"):
        Outbox(current.conf)


def test_a_row_that_is_written_in_a_transaction_joins_it(outbox):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        outbox.write([entry()])
        assert len(left()) == 1
        _ = 1 / 0
    assert left() == []


def refuse(monkeypatch, *bad):
    """Let the broker refuse every call that holds one of the packages."""
    real = OutsideBroker.enqueue_many
    packages_, errors = (
        {p for p in bad if isinstance(p, bytes)},
        [e for e in bad if isinstance(e, Exception)],
    )

    def enqueue_many(self, packages, **options):
        if packages_ & set(packages):
            raise errors[0] if errors else BrokerError("refused")
        return real(self, packages, **options)

    monkeypatch.setattr(OutsideBroker, "enqueue_many", enqueue_many)
