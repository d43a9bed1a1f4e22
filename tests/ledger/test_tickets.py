"""Tickets: one package of a task is valid, and a task has one final outcome."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from qcore.envelope import Outcome, Task, new_id, new_ids
from qcore.errors import LedgerBusy, LedgerError, StoreError
from qcore.ledger import clock
from qcore.ledger import tickets as tickets_module
from qcore.ledger.outbox import Outbox
from qcore.ledger.relay import Relay
from qcore.ledger.settlement import Ledger
from qcore.ledger.tickets import KEPT, LOST, Tickets
from qcore.ledger.tracked import Tracker
from qcore.models import OutboxRow, Ticket
from qcore.runtime import current
from qcore.settled import Follower, Settled, Settlement, TicketState
from qcore.tasks.calls import build

S, F = Outcome.SUCCESS, Outcome.FAILURE


@pytest.fixture
def tickets(transactional_db):
    return Tickets("default")


@pytest.fixture
def ledger(transactional_db):
    return Ledger(current.conf)


def settlement(task_id=None, *, gen=0, outcome=S, final=True, **more):
    task = Task(
        id=task_id or new_id(), name="n", func="a.b", queue="tests", created=0.0,
        content="json", body=b"[[],{}]", gen=gen, relayed=True,
    )  # fmt: skip
    settled = Settled(task=task, outcome=outcome, final=final)
    return Settlement(settled=settled, **({"has_ticket": True} | more))


def move(task_id, *, gen=0, runs=1):
    row = Follower("tests", task_id, b"x", gen + 1, 60.0)
    return settlement(
        task_id, gen=gen, outcome=F, final=False, moves=True, runs=runs, followers=(row,)
    )  # fmt: skip


def settle(ledger, *settlements):
    with ledger.transaction():
        return ledger.settle(settlements, "token")


def states():
    values = Ticket.objects.values_list("task_id", "gen", "runs", "final")
    return {id: rest for id, *rest in values}


class TestRules:
    """What a ticket says after a settlement: ``TicketState.after``."""

    def test_the_first_end_wins(self):
        ended = TicketState().after(settlement(outcome=F))
        assert ended == TicketState(final=F)
        assert ended.after(settlement(outcome=S)) is None
        assert ended.after(settlement(outcome=F, final=False)) is None

    def test_the_same_end_once_more_changes_nothing_and_holds(self):
        ended = TicketState().after(settlement(outcome=F))
        assert ended.after(settlement(outcome=F)) == ended

    def test_a_move_raises_the_gen_and_keeps_the_attempts(self):
        assert TicketState(gen=2, runs=3).after(move("a", gen=2, runs=5)) == (
            TicketState(gen=3, runs=5)
        )

    def test_a_move_or_failure_of_a_lower_gen_is_void(self):
        assert TicketState(gen=2).after(move("a", gen=1)) is None
        assert TicketState(gen=2).after(settlement(gen=1, outcome=F)) is None

    def test_a_package_that_is_younger_than_the_ledger_counts(self):
        """The ledger was restored from a backup, and the broker was not."""
        assert TicketState(gen=1).after(settlement(gen=4, outcome=F)).final == F
        assert TicketState(gen=1).after(move("a", gen=4, runs=5)) == (
            TicketState(gen=5, runs=5)
        )

    def test_a_success_ends_the_task_whatever_its_gen(self):
        assert TicketState(gen=2).after(settlement(gen=0)).final == S

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["success", "failure", "again", "move"]),
                st.integers(0, 3),
            )
        )
    )
    def test_a_gen_only_rises_and_an_end_stays(self, history):
        state = TicketState()
        for what, gen in history:
            one = {
                "success": settlement(gen=gen),
                "failure": settlement(gen=gen, outcome=F),
                "again": settlement(gen=gen, outcome=F, final=False),
                "move": move("a", gen=gen),
            }[what]
            new = state.after(one)
            if new is None:
                continue
            assert new.gen >= state.gen
            assert state.final in (None, new.final)
            assert (new.gen, state.final) in (
                (state.gen, state.final),
                (gen + 1, None),
            )
            state = new


class TestStatements:
    def test_a_missing_ticket_is_missing(self, tickets):
        assert tickets.look_up(["a"]) == {}
        assert tickets.look_up([]) == {}

    def test_insert_says_whether_all_are_new(self, tickets):
        assert tickets.insert({"a": TicketState(), "b": TicketState(gen=2, final=S)})
        assert not tickets.insert({"b": TicketState(), "c": TicketState(runs=4)})
        assert tickets.look_up("abc") == {
            "a": TicketState(),
            "b": TicketState(gen=2, final=S),
            "c": TicketState(runs=4),
        }

    def test_lock_makes_what_is_missing(self, tickets):
        tickets.insert({"a": TicketState(gen=3)})
        with transaction.atomic():
            assert tickets.lock({"a": 0, "b": 2}) == {
                "a": TicketState(gen=3),
                "b": TicketState(gen=2),
            }

    def test_update_leaves_the_mark_of_cancelling(self, tickets):
        tickets.insert({"a": TicketState(starts=2)})
        Ticket.objects.update(cancelled=5.0)
        tickets.update({"a": TicketState(gen=1, starts=3, runs=2, final=S)})
        (found,) = Ticket.objects.all()
        assert (found.gen, found.starts, found.runs, found.final) == (1, 3, 2, S)
        assert found.cancelled == 5.0
        assert found.ended > 1e9

    def test_more_than_one_statement_takes(self, tickets, monkeypatch):
        monkeypatch.setattr(tickets_module, "MAX_IDS", 3)
        ids = new_ids(8)
        assert tickets.insert(dict.fromkeys(ids, TicketState()))
        tickets.update({id: TicketState(runs=n) for n, id in enumerate(ids)})
        assert [tickets.look_up(ids)[id].runs for id in ids] == list(range(8))
        tickets.update({id: TicketState(final=S) for id in ids})
        tickets.delete(ids)
        assert tickets.look_up(ids) == {}

    def test_delete_keeps_what_was_moved_and_what_has_not_ended(self, tickets):
        tickets.insert(
            {"a": TicketState(final=S), "b": TicketState(gen=1, final=S),
             "c": TicketState()}
        )  # fmt: skip
        tickets.delete(["a", "b", "c"])
        assert states().keys() == {"b", "c"}

    def test_prune_takes_what_ended_two_weeks_ago(self, tickets, ahead, monkeypatch):
        tickets.insert({"a": TicketState(final=S), "b": TicketState()})
        ahead(KEPT - 60)
        tickets.insert({"c": TicketState(final=S)})
        assert tickets.prune() == 0
        ahead(120)
        assert tickets.prune() == 1
        assert states().keys() == {"b", "c"}

    def test_those_that_nobody_has_ended_go_after_90_days(self, tickets, ahead):
        """Their tasks went with a queue that somebody has purged."""
        tickets.insert({id: TicketState() for id in "abcd"})
        Ticket.objects.filter(task_id="d").update(cancelled=1.0)
        OutboxRow.objects.create(due=None, queue="q", task_id="c", package=b"")
        assert tickets.prune_lost("") == ("", 0)
        ahead(LOST - 60)
        assert tickets.prune_lost("") == ("", 0)
        tickets.update({"b": TicketState(starts=1, runs=1)})
        ahead(120)
        tickets.prune_lost("")
        assert states().keys() == {"b", "c", "d"}, "a mark has a time of its own"
        tickets.update({"c": TicketState(gen=1)})
        OutboxRow.objects.all().delete()
        ahead(LOST + 60)
        tickets.prune_lost("")
        assert states().keys() == {"c", "d"}
        tickets.end(["c"], S, None)
        ahead(LOST + 60)
        assert tickets.prune_lost("") == ("", 0)

    def test_they_are_looked_at_page_by_page(self, tickets, ahead, monkeypatch):
        monkeypatch.setattr(tickets_module, "PRUNED", 2)
        tickets.insert({id: TicketState() for id in "abcde"})
        ends = [""]
        while len(ends) == 1 or ends[-1]:
            ends.append(tickets.prune_lost(ends[-1])[0])
        assert ends == ["", "b", "d", ""]
        assert not Ticket.objects.filter(idle=None).exists()

    def test_the_relay_forgets_what_was_lost(
        self, tickets, ahead, outside, monkeypatch
    ):
        tickets.insert({"a": TicketState()})
        Relay(current.conf).tick()
        ahead(LOST + 60)
        relay = Relay(current.conf)
        relay.tick()
        assert states() == {}
        tickets.insert({"b": TicketState()})
        Ticket.objects.update(idle=1.0)
        relay._prune_at = 0.0
        relay.tick()
        assert states().keys() == {"b"}, "only from time to time"

    def test_the_relay_prunes_from_time_to_time(self, tickets, ahead, outside):
        tickets.insert({"a": TicketState(final=S)})
        ahead(KEPT + 60)
        relay = Relay(current.conf)
        relay.tick()
        assert states() == {}
        tickets.insert({"b": TicketState(final=S)})
        ahead(KEPT + 60)
        relay.tick()
        assert states().keys() == {"b"}  # the next look is in some minutes

    def test_what_cannot_be_pruned_keeps_no_task_waiting(
        self, tickets, ahead, outside, monkeypatch, caplog
    ):
        outbox = Outbox(current.conf)
        task = build("chores.kind.add", (1,))
        outbox.write([(outside.queue, task.id, current.signer.sign(task), 0)])
        tickets.insert({"a": TicketState(final=S)})
        ahead(KEPT + 60)

        def refuse(self, seconds):
            raise StoreError("canceling statement due to statement timeout")

        monkeypatch.setattr(Tracker, "prune", refuse)
        Relay(current.conf).tick()
        assert outside.queue_size() == 1
        assert states() == {}  # the tickets are pruned all the same
        assert "statement timeout" in caplog.text


class TestSettle:
    def test_ends_of_tasks_without_tickets_are_one_statement(
        self, ledger, django_assert_num_queries
    ):
        ends = [settlement() for _ in range(5)]
        with ledger.transaction(), django_assert_num_queries(3):  # and a savepoint
            assert ledger.settle(ends, "t") == [True] * 5
        assert list(states().values()) == [[0, 0, S]] * 5

    @pytest.mark.parametrize("outcome", [S, F])
    def test_ends_of_tasks_that_were_admitted_are_one_statement(
        self, ledger, tickets, outcome, django_assert_num_queries
    ):
        ends = [settlement(outcome=outcome, found=True) for _ in range(5)]
        assert tickets.begin([one.settled.task.id for one in ends])
        with ledger.transaction(), django_assert_num_queries(1):
            assert ledger.settle(ends, "t") == [True] * 5
        assert list(states().values()) == [[0, 1, outcome]] * 5

    def test_the_ends_of_a_batch_stand_where_one_of_them_is_void(self, ledger, tickets):
        ends = [settlement(outcome=F, found=True) for _ in range(4)]
        over, newer, gone, good = (one.settled.task.id for one in ends)
        tickets.insert(
            {
                over: TicketState(runs=1, final=S),
                newer: TicketState(gen=1, runs=1),
                good: TicketState(runs=1),
            }
        )
        assert settle(ledger, *ends) == [False, False, True, True]
        assert states() == {
            over: [0, 1, S], newer: [1, 1, None], gone: [0, 0, F], good: [0, 1, F],
        }  # fmt: skip
        assert settle(ledger, *ends) == [False, False, True, True]  # nobody heard of it

    def test_a_success_ends_a_task_that_was_sent_again_since(self, ledger, tickets):
        end = settlement(found=True)
        tickets.insert({end.settled.task.id: TicketState(gen=3, runs=1)})
        assert settle(ledger, end) == [True]
        assert states() == {end.settled.task.id: [3, 1, S]}

    def test_a_first_start_is_written_where_no_ticket_is_there(self, tickets):
        with transaction.atomic():
            assert tickets.begin(["a", "b"])
            assert not tickets.begin(["b", "c"])
        assert states() == {"a": [0, 1, None], "b": [0, 1, None]}

    def test_of_two_ends_the_first_holds(self, ledger):
        id = new_id()
        assert settle(ledger, settlement(id, outcome=F)) == [True]
        assert settle(ledger, settlement(), settlement(id)) == [True, False]
        assert states()[id] == [0, 0, F]

    def test_two_ends_of_one_task_in_a_batch(self, ledger):
        id = new_id()
        ends = [settlement(id), settlement(id, outcome=F), settlement()]
        assert settle(ledger, *ends) == [True, False, True]
        assert states()[id] == [0, 0, S]

    def test_a_move_writes_its_package_and_void_ones_write_none(self, ledger):
        id = new_id()
        assert settle(ledger, move(id, runs=2)) == [True]
        assert states() == {id: [1, 2, None]}
        assert settle(ledger, move(id, runs=9)) == [False]
        assert states() == {id: [1, 2, None]}
        (row,) = OutboxRow.objects.all()
        assert (row.task_id, row.gen, row.held_by) == (id, 1, None)
        assert row.due > clock_now() + 50

    def test_what_follows_at_once_is_held_by_its_writer(self, ledger):
        row = Follower("tests", "next", b"x", 0, 0.0, True)
        plain = settlement(has_ticket=False, followers=(row,))
        assert settle(ledger, plain) == [True]
        assert states() == {}
        (row,) = OutboxRow.objects.all()
        assert (row.held_by, row.claimed is not None) == ("token", True)
        ledger.leave("other", ["next"])
        assert OutboxRow.objects.get().held_by == "token"
        ledger.leave("token", ["next"])
        assert OutboxRow.objects.get().held_by is None
        ledger.sent("token", ["next"])
        assert OutboxRow.objects.count() == 1  # it is the relay's now

    def test_a_transaction_that_fails_leaves_nothing(self, ledger):
        with pytest.raises(ZeroDivisionError), ledger.transaction():
            ledger.settle([move(new_id())], "t")
            _ = 1 / 0
        assert states() == {}
        assert OutboxRow.objects.count() == 0

    def test_errors_of_the_database_are_told_as_the_ledgers(self, ledger):
        with pytest.raises(LedgerError, match="cannot settle tasks"):
            settle(ledger, move("a", runs=2**70))
        ledger.ping()
        assert states() == {}

    @pytest.mark.skipif(
        connection.vendor == "sqlite", reason="one connection, in memory, for a test"
    )
    def test_many_who_end_the_same_tasks_at_once(self, ledger):
        ids = new_ids(40)
        held, errors = [], []

        def end(outcome):
            try:
                own = Ledger(current.conf)
                ends = [settlement(id, outcome=outcome) for id in ids]
                for start in range(0, len(ends), 5):
                    part = ends[start : start + 5]
                    holds = again_if_busy(own, part)
                    held.extend(
                        (one.settled.task.id, outcome)
                        for one, hold in zip(part, holds, strict=True)
                        if hold
                    )
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)
            finally:
                connections.close_all()

        outcomes = [F, Outcome.TIMEOUT, S, Outcome.CRASH]
        threads = [threading.Thread(target=end, args=(one,)) for one in outcomes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert sorted(held) == sorted((id, rest[2]) for id, rest in states().items())
        assert len(held) == len(ids)


def again_if_busy(ledger, part):
    """Settle, again while another one goes first, as the recorder does."""
    while True:
        try:
            with ledger.transaction():
                return ledger.settle(part, "t")
        except LedgerBusy:
            continue


def clock_now():
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {clock.now(connection)}")
        return float(cursor.fetchone()[0])
