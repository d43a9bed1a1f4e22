"""Plugins that decide about tasks, with the ledger: what they write and what is sent."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import msgspec
import pytest
from chores.outside import OutsideBroker
from django.db import (
    IntegrityError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from support.feature_plugins import FeaturePluginsOfATest
from support.own_modules import give_own

from qcore import (
    RUN,
    RUN_HOLDING,
    Claim,
    Drop,
    Later,
    Park,
    Release,
    Settled,
    TaskOption,
)
from qcore.errors import (
    BrokerError,
    BrokerUnavailable,
    EnqueueError,
    LedgerError,
    PackageError,
    PluginBroken,
    StoreRefused,
    StoreUnavailable,
)
from qcore.ledger import place
from qcore.ledger import sweep as sweep_module
from qcore.ledger.features import Features
from qcore.ledger.settlement import Ledger
from qcore.ledger.sweep import LONGEST, Sweep
from qcore.models import OutboxRow, Ticket
from qcore.plugins.registry import Registry
from qcore.runtime import current
from qcore.tasks import async_task, async_task_many, cancel, queue_size, status
from qcore.tasks.calls import build
from qcore.tasks.new_tasks import prepare
from qcore.testing.drain import drain, enqueued

ONCE = TaskOption("once", str, "A key.")
OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}


def keys():
    """The keys that the plugin has taken: it keeps them in the tickets, for a test."""
    return sorted(Ticket.objects.exclude(final=None).values_list("final", flat=True))


def take(tasks):
    """Take the key of each task, and skip those whose key is taken by another one."""
    for new in tasks:
        if (key := new.options.get("once")) is None:
            continue
        owner = Ticket.objects.filter(final=key).first()
        if owner is None:
            Ticket.objects.create(task_id=new.task.id, final=key)
        elif owner.task_id != new.task.id:
            new.skip(owner.task_id)
            continue
        new.need("once")


@pytest.fixture
def plugins(outside, monkeypatch):
    yield FeaturePluginsOfATest(monkeypatch)
    Ticket.objects.all().delete()
    current.reset()


@pytest.fixture
def no_tables(monkeypatch):
    """The plugin `once` is an app, of which `migrate` has made no table."""
    app = SimpleNamespace(label="once_app", name="once_app")
    monkeypatch.setattr(
        Registry, "app_of", lambda _, name: app if name == "once" else None
    )
    names = frozenset({"once_row"})
    monkeypatch.setattr(
        place, "tables_of", lambda label, alias: names if label == "once_app" else ()
    )
    yield
    place.forget()


@pytest.fixture
def once(plugins):
    plugins.add("once", qcore_task_options=lambda: [ONCE], qcore_before_send=take)
    return plugins


class TestBeforeSend:
    def test_a_commit_of_another_database_is_waited_for(self, once, elsewhere):
        with transaction.atomic(elsewhere):
            task_id = async_task("chores.kind.add", 1, q_options={"once": "a"})
            assert keys() == [] and queue_size() == 0
        assert keys() == ["a"]
        assert [task.id for task in enqueued()] == [task_id]

    def test_a_rollback_of_another_database_leaves_no_key(self, once, elsewhere):
        with pytest.raises(ZeroDivisionError), transaction.atomic(elsewhere):
            async_task("chores.kind.add", 1, q_options={"once": "a"})
            1 / 0  # noqa: B018
        assert keys() == [] and queue_size() == 0

    def test_the_key_and_the_row_of_the_outbox_are_one_transaction(self, once):
        with transaction.atomic():
            task_id = async_task("chores.kind.add", 1, q_options={"once": "a"})
            assert [row.task_id for row in OutboxRow.objects.all()] == [task_id]
            assert (keys(), queue_size()) == (["a"], 0)
        (sent,) = enqueued()
        assert (sent.id, sent.relayed, sent.needs) == (task_id, True, ("once",))
        assert OutboxRow.objects.count() == 0

    def test_it_is_sent_at_once_where_no_transaction_is_open(self, once):
        task_id = async_task(
            "chores.kind.add", 1, q_options={"once": "a"}, commit="now"
        )
        assert [task.id for task in enqueued()] == [task_id]

    def test_a_rollback_takes_both_along(self, once):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            async_task("chores.kind.add", 1, q_options={"once": "a"})
            _ = 1 / 0
        assert (keys(), queue_size(), OutboxRow.objects.count()) == ([], 0, 0)

    def test_the_caller_of_a_skipped_task_gets_the_id_of_the_other(self, once):
        first = async_task("chores.kind.add", 1, q_options={"once": "a"})
        assert async_task("chores.kind.add", 2, q_options={"once": "a"}) == first
        assert [task.id for task in enqueued()] == [first]

    def test_so_it_is_in_a_batch(self, once):
        first = async_task("chores.kind.add", 1, q_options={"once": "a"})
        ids = async_task_many("chores.kind.add", [(1,), (2,)], q_options={"once": "a"})
        assert ids == [first, first]

    def test_a_broker_that_is_away_loses_neither(self, once, relay):
        OutsideBroker.errors[:] = [BrokerUnavailable("away")]
        task_id = async_task("chores.kind.add", 1, q_options={"once": "a"})
        assert (keys(), queue_size(), OutboxRow.objects.count()) == (["a"], 0, 1)
        relay.tick()
        assert [task.id for task in enqueued()] == [task_id]

    def test_the_relay_does_not_ask_again(self, once, relay, monkeypatch):
        task_id = async_task(
            "chores.kind.add", 1, q_options={"once": "a"}, delay=100_000
        )
        OutboxRow.objects.update(due=0)
        asked = []
        monkeypatch.setitem(
            current.registry.features.before_send,
            "once",
            asked.append,
        )
        relay.tick()
        assert [task.id for task in enqueued()] == [task_id]
        assert asked == []

    def test_an_error_of_the_plugin_on_its_own_option_refuses_the_call(self, plugins):
        def fail(tasks):
            take(tasks)
            raise KeyError("customer")

        plugins.add("once", qcore_task_options=lambda: [ONCE], qcore_before_send=fail)
        with pytest.raises(EnqueueError, match=r"plugin 'once' failed .* KeyError"):
            async_task("chores.kind.add", 1, q_options={"once": "a"})
        assert (keys(), queue_size(), OutboxRow.objects.count()) == ([], 0, 0)

    def test_its_database_away_is_worth_another_try(self, plugins):
        def fail(tasks):
            raise OperationalError("the server closed the connection")

        plugins.add("once", qcore_task_options=lambda: [ONCE], qcore_before_send=fail)
        with pytest.raises(BrokerUnavailable, match="closed the connection"):
            async_task("chores.kind.add", 1, q_options={"once": "a"})

    @pytest.mark.parametrize("what", ["is_ready", "run"])
    def test_a_database_that_is_away_before_that_is_too(self, once, monkeypatch, what):
        """The transaction begins outside of the plugin: a chain would end for that."""

        def away(*_):
            raise OperationalError("connection refused: postgres://u:secret@db/x")

        found = property(away) if what == "is_ready" else away
        monkeypatch.setattr(type(current.ledger), what, found)
        task = build("chores.kind.add", (1,), once="a")
        for send in (
            lambda: async_task("chores.kind.add", 1, q_options={"once": "a"}),
            lambda: prepare(task),
        ):
            with pytest.raises(BrokerUnavailable, match="does not answer") as caught:
                send()
            assert "secret" not in str(caught.value)

    def test_a_deadlock_is_tried_again_where_nothing_is_lost(self, plugins):
        tries = []

        def lose(tasks):
            take(tasks)
            tries.append(1)
            if len(tries) < 3:
                raise OperationalError(1213, "deadlock found")

        plugins.add("once", qcore_task_options=lambda: [ONCE], qcore_before_send=lose)
        task_id = async_task("chores.kind.add", 1, q_options={"once": "a"})
        assert [task.id for task in enqueued()] == [task_id]
        assert (keys(), OutboxRow.objects.count(), len(tries)) == (["a"], 0, 3)
        tries.clear()
        with pytest.raises(BrokerUnavailable, match="deadlock"), transaction.atomic():
            async_task("chores.kind.add", 1, q_options={"once": "b"})
        assert len(tries) == 1

    def test_an_error_of_another_plugin_stops_nobody(self, once, caplog):
        def fail(tasks):
            raise KeyError("trace")

        once.add("trace", qcore_before_send=fail)
        task_id = async_task("chores.kind.add", 1, q_options={"once": "a"})
        assert [task.id for task in enqueued()] == [task_id]
        assert "plugin trace failed in qcore_before_send" in caplog.text

    def test_one_that_spoils_the_transaction_is_told(self, once):
        def fail(tasks):
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM no_such_table")

        once.add("trace", qcore_before_send=fail)
        with pytest.raises((BrokerError, EnqueueError), match="plugin 'trace' failed"):
            async_task("chores.kind.add", 1, q_options={"once": "a"})
        assert (keys(), queue_size(), OutboxRow.objects.count()) == ([], 0, 0)

    def test_a_plain_task_opens_no_transaction(self, once, django_assert_num_queries):
        with django_assert_num_queries(0):
            async_task("chores.kind.add", 1)

    def test_missing_tables_are_told(self, once, monkeypatch):
        monkeypatch.setattr("qcore.ledger.facade.is_ready", lambda alias: False)
        with pytest.raises(EnqueueError, match=r"option 'once'.*manage\.py migrate"):
            async_task("chores.kind.add", 1, q_options={"once": "a"})
        assert async_task("chores.kind.add", 1)

    def test_the_tables_of_the_plugin_are_missing(self, once, no_tables):
        """Passing: a chain waits for `migrate`; plain tasks are sent."""
        told = "lacks tables of once_app. Run: python manage.py migrate once_app"
        with pytest.raises(BrokerUnavailable, match=re.escape(told)):
            async_task("chores.kind.add", 1, q_options={"once": "a"})
        with pytest.raises(BrokerUnavailable, match=re.escape(told)):
            prepare(build("chores.kind.add", (1,), once="a"))
        plain = async_task("chores.kind.add", 1)
        assert [task.id for task in enqueued()] == [plain]
        assert (keys(), OutboxRow.objects.count()) == ([], 0)

    @pytest.mark.fault("L8")
    def test_a_task_that_is_made_again_is_the_same(self, once):
        """As the next link of a chain is, whose maker has died before it was sent."""
        task = build("chores.kind.add", (1,), task_id="a" * 32, once="a")
        assert prepare(task) == prepare(task)
        assert prepare(build("chores.kind.add", (1,), once="a")) is None

    def test_the_next_link_of_a_chain_is_asked_about(self, plugins):
        seen = []
        plugins.add("see", qcore_before_send=lambda tasks: seen.append(tasks[0]))
        from qcore.tasks import async_chain

        async_chain([("chores.kind.add", (1,)), ("chores.kind.add", (2,))])
        drain()
        assert [new.call()[0] for new in seen] == [[1], [2]]

    def test_a_schedule_is_asked_about_and_its_slot_has_fired(self, once):
        from qcore.models import Schedule, ScheduleSlot
        from qcore.tasks import schedule

        first = async_task("chores.kind.add", 1, q_options={"once": "a"})
        schedule("chores.kind.add", 2, q_options={"once": "a"})
        current.scheduler.tick()
        assert [task.id for task in enqueued()] == [first]
        (slot,) = ScheduleSlot.objects.all()
        assert slot.sent is not None
        assert not Schedule.objects.exclude(error="").exists()
        ScheduleSlot.objects.all().delete()


def claim(*needs, **fields):
    task = build("chores.kind.add", (1,))
    return Claim(msgspec.structs.replace(task, needs=needs, **fields), 1, 0.0)


def features():
    return Features(current.registry.features, current.ledger, current.signer.sign)


def answers(*claims):
    return [answer for answer, _ in features().admit(claims)]


def always(answer):
    return lambda claims: [answer] * len(claims)


class TestAdmit:
    def test_only_those_that_are_needed_in_their_order(self, plugins):
        asked = []

        def answer(name, *answers):
            def qcore_admit(claims):
                asked.append((name, [claim.task.id for claim in claims]))
                return [*answers][: len(claims)]

            return qcore_admit

        gone = Drop("replaced", "by another one")
        plugins.add("one", qcore_admit=answer("one", RUN, gone))
        plugins.add("two", qcore_admit=answer("two", RUN, RUN))
        plugins.add("silent", qcore_sweep=lambda now: None)
        both, refused = claim("one", "two"), claim("silent", "one", "two")
        third = claim("two")
        # of the first place: one and silent and two; of the second: two and one ...
        assert answers(both, refused, third) == [RUN, RUN, RUN]
        assert asked == [
            ("one", [both.task.id]),
            ("two", [third.task.id]),
            ("two", [both.task.id]),
            ("one", [refused.task.id]),
            ("two", [refused.task.id]),
        ]

    def test_a_plugin_that_lacks_tables_is_not_asked_and_what_to_type_is_told(
        self, once, no_tables
    ):
        once.add("other", qcore_admit=always(RUN))
        assert answers(claim("other")) == [RUN]
        with pytest.raises(PluginBroken, match=r"migrate once_app --database=default"):
            answers(claim("other"), claim("other", "once"))

    def test_first_starts_are_one_statement(self, plugins, django_assert_num_queries):
        plugins.add("one", qcore_admit=always(RUN))
        orders = [claim("one") for _ in range(5)]
        found = features()
        found.admit([claim("one")])  # the connection is there, and its tables were seen
        # a savepoint; and, in a test on a connection of its own, its transaction
        with transaction.atomic(), django_assert_num_queries(5):
            admitted = found.admit(orders)
        assert [ticket[:3] for _, ticket in admitted] == [(0, 1, 1)] * 5
        rows = Ticket.objects.filter(task_id__in=[one.task.id for one in orders])
        assert list(rows.values_list("gen", "starts", "runs")) == [(0, 1, 1)] * 5

    def test_what_is_written_of_first_starts_is_taken_back_for_those_that_wait(
        self, plugins
    ):
        said = [RUN, Later(60), Park(), Release(5), Drop("replaced", "x")]
        plugins.add("one", qcore_admit=lambda claims: said)
        orders = [claim("one") for _ in said]
        admitted = features().admit(orders)
        wanted = [(0, 1, 1), (1, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0)]
        assert [ticket[:3] for _, ticket in admitted] == wanted
        rows = {row.task_id: row for row in Ticket.objects.all()}
        found = [rows[one.task.id] for one in orders]
        assert [(row.gen, row.starts, row.runs) for row in found] == wanted

    def test_one_that_has_begun_before_is_counted_beside_new_ones(self, plugins):
        plugins.add("one", qcore_admit=always(RUN))
        old, new = claim("one"), claim("one")
        features().admit([old])
        admitted = features().admit([old, new])
        assert [ticket[:3] for _, ticket in admitted] == [(0, 2, 2), (0, 1, 1)]

    def test_who_holds_something_has_said_so_for_all(self, plugins):
        plugins.add("holds", qcore_admit=always(RUN_HOLDING))
        plugins.add("not", qcore_admit=always(RUN))
        orders = claim("holds", "not"), claim("not", "holds"), claim("not")
        assert answers(*orders) == [RUN_HOLDING, RUN_HOLDING, RUN]

    def test_the_first_refusal_is_the_last_word(self, plugins):
        asked = []
        gone = Drop("replaced", "by another one")
        plugins.add("one", qcore_admit=always(gone))
        plugins.add(
            "two", qcore_admit=lambda claims: [asked.append(one) for one in claims]
        )
        assert answers(claim("one", "two")) == [gone]
        assert asked == []

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (None, "got NoneType"),
            ([], "got a list of 0"),
            (["run"], "an answer must be RUN, RUN_HOLDING, or a Drop, .* got 'run'"),
            ([Drop("success", "x")], "cannot be dropped with the outcome 'success'"),
            ([Drop("gone", "x")], "cannot be dropped with the outcome 'gone'"),
            ([Later(-1)], r"after=seconds, 0 or more, got Later\(after=-1"),
            ([Later(float("nan"))], "after=seconds"),
            ([Release(True)], "after=seconds"),
            ([Release("5")], "after=seconds"),
        ],
        ids=str,
    )
    def test_what_is_no_answer(self, plugins, wrong, said):
        plugins.add("one", qcore_admit=lambda claims: wrong)
        with pytest.raises(PluginBroken, match=said):
            answers(claim("one"))
        assert not OutboxRow.objects.exists()

    def test_an_error_undoes_what_was_written(self, plugins):
        def fail(claims):
            Ticket.objects.create(task_id="another", final="held")
            raise ValueError("odd")

        plugins.add("one", qcore_admit=fail)
        with pytest.raises(ValueError, match="odd"):
            answers(claim("one"))
        assert not Ticket.objects.exists()

    def test_a_database_that_is_away_is_no_fault_of_a_plugin(self, plugins):
        def fail(claims):
            raise OperationalError("gone away")

        plugins.add("one", qcore_admit=fail)
        with pytest.raises(LedgerError, match="gone away"):
            answers(claim("one"))

    def test_a_deadlock_is_tried_again(self, plugins):
        tries = []

        def fail(claims):
            tries.append(1)
            if len(tries) < 3:
                raise OperationalError(1213, "deadlock found")
            return [RUN]

        plugins.add("one", qcore_admit=fail)
        one = claim("one")
        assert answers(one) == [RUN]
        assert ticket(one).starts == 1, "counted once"

    def test_what_is_lacking(self, plugins):
        plugins.add("one", qcore_sweep=lambda now: None)
        assert features().lacking(claim("one").task) is None
        assert features().lacking(claim("one", "limits").task) == "limits"


def ticket(one):
    return Ticket.objects.get(task_id=one.task.id)


class TestStarts:
    """A start is counted in the transaction of the admission, and taken back unbegun."""

    @pytest.fixture(autouse=True)
    def one(self, plugins):
        seen = []

        def admit(claims):
            seen.extend((claim.start, claim.attempt) for claim in claims)
            return [RUN] * len(claims)

        plugins.add("one", qcore_admit=admit)
        return seen

    def test_each_admission_is_a_start_and_an_attempt(self, one):
        task = claim("one")
        for number in (1, 2):
            ((_, state),) = features().admit([task])
            assert (state.starts, state.runs, state.gen) == (number, number, 0)
        assert one == [(1, 1), (2, 2)]
        assert (ticket(task).starts, ticket(task).runs) == (2, 2)

    def test_what_is_given_back_unbegun_is_taken_back_once(self):
        task = claim("one")
        features().admit([task])
        ledger = Ledger(current.conf, current.registry.features)
        back = stopped(task, start=1)
        for _ in range(2):
            ledger.give_back([back])
        assert (ticket(task).starts, ticket(task).runs) == (0, 0)

    def test_a_start_that_has_begun_or_has_a_follower_is_not_taken_back(self):
        task = claim("one")
        for _ in range(2):
            features().admit([task])
        ledger = Ledger(current.conf, current.registry.features)
        ledger.give_back([stopped(task, start=2, unstarted=False)])
        ledger.give_back([stopped(task, start=1)])
        ledger.give_back([stopped(task, start=0)])
        assert (ticket(task).starts, ticket(task).runs) == (2, 2)

    def test_a_copy_in_the_same_batch_is_put_off(self, one):
        task = claim("one")
        first, second = answers(task, task)
        assert first is RUN
        assert isinstance(second, Release)
        assert ticket(task).starts == 1

    @pytest.mark.parametrize(
        "state", [{"gen": 1}, {"final": "success", "ended": 1.0}], ids=str
    )
    def test_a_package_that_was_overtaken_is_put_off(self, one, state):
        """Its next delivery is looked up, and goes the way of what its ticket says."""
        task = claim("one")
        Ticket.objects.create(task_id=task.task.id, **state)
        (answer,) = answers(task)
        assert isinstance(answer, Release)
        assert (one, ticket(task).starts) == ([], 0)

    def test_a_package_of_a_higher_gen_than_its_ticket_is_the_valid_one(self):
        """As after a backup was restored."""
        task = claim("one", gen=3)
        Ticket.objects.create(task_id=task.task.id, gen=1)
        assert answers(task) == [RUN]
        assert ticket(task).gen == 3

    def test_a_task_that_was_cancelled_meanwhile_does_not_run(self, one):
        task = claim("one")
        Ticket.objects.create(task_id=task.task.id, cancelled=1.0)
        (answer,) = answers(task)
        assert answer.outcome == "cancelled"
        assert one == []


def stopped(one, *, start, unstarted=True):
    return Settled(
        task=one.task,
        outcome="stopped",
        final=False,
        again=0.0,
        unstarted=unstarted,
        start=start,
    )


def into(heard):
    def qcore_settle(settled):
        heard.extend(settled)

    return qcore_settle


class TestMoves:
    """A task that waits is a row of the outbox, in the transaction of the answer."""

    def test_later_is_a_row_with_the_next_package(self, plugins, relay):
        plugins.add("one", qcore_admit=always(Later(3600)))
        one = claim("one")
        ((_, state),) = features().admit([one])
        assert (state.gen, state.starts, state.runs) == (1, 0, 0)
        (row,) = OutboxRow.objects.all()
        assert (row.task_id, row.gen, row.held_by) == (one.task.id, 1, None)
        assert abs(row.due - current.ledger.now() - 3600) < 60
        assert status(one.task.id) == "scheduled"
        OutboxRow.objects.update(due=0)
        relay.tick()
        (sent,) = enqueued()
        assert sent == msgspec.structs.replace(one.task, gen=1, relayed=True)

    def test_parked_until_its_plugin_wakes_it(self, plugins, relay):
        plugins.add("one", qcore_admit=always(Park()))
        one = claim("one")
        features().admit([one])
        (row,) = OutboxRow.objects.all()
        assert (row.due, row.held_by, row.claimed) == (None, "one", None)
        assert status(one.task.id) == "parked"
        relay.tick()
        ids = [one.task.id]
        assert current.ledger.wake("two", ids) == set()
        assert enqueued() == []
        assert current.ledger.wake("one", ids) == set(ids)
        assert current.ledger.wake("one", ids) == set(), "it is not parked any more"
        relay.tick()
        assert [task.gen for task in enqueued()] == [1]

    def test_it_may_be_woken_later(self, plugins):
        plugins.add("one", qcore_admit=always(Park()))
        one = claim("one")
        features().admit([one])
        current.ledger.wake("one", [one.task.id], delay=60)
        assert status(one.task.id) == "scheduled"

    def test_what_is_parked_wakes_where_it_expires(self, plugins, relay):
        plugins.add("one", qcore_admit=always(Park()))
        one = claim("one", expires=time.time() + 30)
        features().admit([one])
        (row,) = OutboxRow.objects.all()
        assert 0 < row.due - current.ledger.now() < 31
        assert status(one.task.id) == "parked"
        OutboxRow.objects.update(due=0)
        relay.tick()
        assert [task.id for task in enqueued()] == [one.task.id]

    def test_what_is_parked_and_cancelled_is_sent_to_its_end(self, plugins, relay):
        plugins.add("one", qcore_admit=always(Park()))
        one = claim("one")
        features().admit([one])
        assert cancel([one.task.id]) == {one.task.id: "parked"}
        relay.tick()
        (sent,) = enqueued()
        (answer,) = answers(Claim(sent, 1, 0.0))
        assert answer.outcome == "cancelled"

    def test_another_plugin_that_had_let_it_run_hears_of_it(self, plugins):
        heard = []
        plugins.add("holds", qcore_admit=always(RUN), qcore_settle=into(heard))
        plugins.add(
            "parks",
            qcore_admit=lambda claims: [
                RUN if claim.task.priority else Park() for claim in claims
            ],
            qcore_settle=lambda settled: heard.append("nothing to say to itself"),
        )
        one, other = claim("holds", "parks"), claim("holds", "parks", priority=1)
        ((_, state), (answer, _)) = features().admit([one, other])
        assert (state.gen, answer) == (1, RUN)
        (told,) = heard
        assert (told.task.id, told.start, told.unstarted, told.final) == (
            one.task.id, 1, True, False,
        )  # fmt: skip

    @pytest.mark.fault("J12")
    def test_one_that_fails_then_is_not_taken_for_the_ledger(self, plugins):
        """The ledger is there, so the other tasks of the batch need not wait for it."""

        def settle(settled):
            raise ValueError("redis://me:secret@there")

        plugins.add("holds", qcore_admit=always(RUN), qcore_settle=settle)
        plugins.add("parks", qcore_admit=always(Park()))
        with pytest.raises(
            PluginBroken, match="'holds' failed in qcore_settle"
        ) as told:
            features().admit([claim("holds", "parks")])
        assert "secret" not in str(told.value)
        assert not OutboxRow.objects.exists()

    @pytest.mark.fault("J12")
    def test_missing_tables_of_a_plugin_are_not_a_ledger_that_is_away(self, plugins):
        def admit(claims):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM qcore_limits_of_tomorrow")

        plugins.add("one", qcore_admit=admit, qcore_renew=admit)
        expected = r"tables of a plugin are missing .* manage\.py migrate"
        with pytest.raises(PluginBroken, match=expected):
            features().admit([claim("one")])
        with pytest.raises(PluginBroken, match=expected):
            features().renew([claim("one")])

    def test_a_package_that_cannot_be_made_changes_nothing(self, plugins):
        plugins.add("one", qcore_admit=always(Park()))

        def sign(task):
            raise PackageError("too large")

        one = claim("one")
        found = Features(current.registry.features, current.ledger, sign)
        with pytest.raises(PackageError):
            found.admit([one])
        assert not Ticket.objects.exists()
        assert not OutboxRow.objects.exists()

    def test_a_test_that_drains_runs_what_was_woken(self, plugins):
        ran = []

        def admit(claims):
            return [RUN if claim.gen else Later(0) for claim in claims]

        def send(tasks):
            for new in tasks:
                new.need("one")

        plugins.add(
            "one",
            qcore_task_options=lambda: [ONCE],
            qcore_before_send=send,
            qcore_admit=admit,
            qcore_settle=into(ran),
        )
        async_task("chores.kind.add", 1, q_options={"once": "a"})
        counts = drain()
        assert (counts.succeeded, counts.waiting) == (1, 1)
        assert [(one.gen, one.start, one.final) for one in ran] == [(1, 1, True)]


class DriverError(Exception):
    """What a driver raises, with its code."""

    def __init__(self, state):
        super().__init__()
        self.sqlstate = state


def sweep_of(name):
    return Sweep(name, current.registry.features.sweep[name], current.ledger)


class TestSweep:
    def test_by_its_own_time(self, plugins, monkeypatch):
        calls = []

        def often(now):
            calls.append(now)
            return 5

        plugins.add("often", qcore_sweep=often)
        plugins.add("seldom", qcore_sweep=lambda: calls.append("seldom"))
        clock = [100.0]
        give_own(monkeypatch, sweep_module, "time", monotonic=lambda: clock[0])
        often, seldom = sweep_of("often"), sweep_of("seldom")
        assert (often.tick(), seldom.tick()) == (5, LONGEST)
        first, second = calls
        assert abs(first - current.ledger.now()) < 60 and second == "seldom"
        clock[0] += 4
        assert (often.tick(), seldom.tick()) == (1, LONGEST - 4)
        assert len(calls) == 2
        clock[0] += 1
        assert (often.tick(), seldom.tick()) == (5, LONGEST - 5)
        assert len(calls) == 3
        clock[0] += LONGEST - 5
        assert seldom.tick() == LONGEST
        assert calls.count("seldom") == 2

    @pytest.mark.fault("J14")
    @pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3)])
    def test_one_that_fails_is_called_again_soon(self, plugins, error, caplog):
        def fail(now):
            raise error

        plugins.add("bad", qcore_sweep=fail)
        assert 0 < sweep_of("bad").tick() <= 1
        assert (
            "plugin bad failed in qcore_sweep, and is called again in 1 s"
            in caplog.text
        )

    @pytest.mark.parametrize(
        ("error", "state", "is_away"),
        [
            (OperationalError, None, True),  # psycopg could not connect
            (InternalError, "25006", True),  # read-only
            (OperationalError, "57P01", True),  # an administrator ends the session
            (StoreUnavailable, None, True),
            (StoreRefused, None, False),
            (ProgrammingError, "42601", False),  # of the statement itself
        ],
    )
    def test_a_database_that_is_away_is_no_fault_of_the_plugin(
        self, plugins, caplog, error, state, is_away
    ):
        def fail(now):
            raise error("as it is") from DriverError(state)

        plugins.add("limits", qcore_sweep=fail)
        sweep_of("limits").tick()
        (record,) = caplog.records
        assert (record.levelname, bool(record.exc_info)) == (
            ("WARNING", False) if is_away else ("ERROR", True)
        )
        told = "the database of the ledger is away, so plugin limits is called again"
        assert (told in record.getMessage()) is is_away
        assert record.getMessage().endswith(f"{error.__name__}: as it is")

    def test_nonsense_is_an_error(self, plugins, caplog):
        plugins.add("odd", qcore_sweep=lambda now: float("nan"))
        sweep_of("odd").tick()
        assert "plugin odd failed in qcore_sweep" in caplog.text

    def test_a_plugin_that_lacks_tables_is_not_called_and_the_log_says_migrate(
        self, plugins, no_tables, caplog
    ):
        plugins.add("once", qcore_sweep=lambda now: 1 / 0)
        assert sweep_of("once").tick() > LONGEST - 1
        (record,) = caplog.records
        assert "tables of once_app are missing" in record.getMessage()
        assert "python manage.py migrate" in record.getMessage()

    def test_nothing_is_called_before_the_tables_are_there(self, plugins, monkeypatch):
        plugins.add("one", qcore_sweep=lambda now: 1 / 0)
        monkeypatch.setattr("qcore.ledger.facade.is_ready", lambda alias: False)
        assert sweep_of("one").tick() > LONGEST - 1


class TestEach:
    """What plugins do for each of many rows, in a sweep."""

    def each(self, errors, failed=None):
        done = []

        def work(item):
            done.append(item)
            if item in errors:
                raise errors[item]

        try:
            current.ledger.each(range(4), work, failed)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return done, error
        return done, None

    @pytest.mark.fault("J14")
    def test_one_that_fails_stops_no_other(self, plugins, caplog):
        first, second = ValueError("odd"), KeyError("mongodb://me:secret@there")
        failed = []
        assert self.each({1: first, 2: second}, failed.append) == ([0, 1, 2, 3], first)
        assert failed == [1, 2]
        assert "one more part of a sweep failed: KeyError" in caplog.text
        assert "secret" not in caplog.text

    @pytest.mark.parametrize("error", [OperationalError("gone"), StoreUnavailable("")])
    def test_a_database_that_is_away_stops_the_rest(self, plugins, error):
        failed = []
        assert self.each({1: error}, failed.append) == ([0, 1], error)
        assert failed == []

    def test_nothing_is_raised_where_nothing_fails(self, plugins):
        assert self.each({}) == ([0, 1, 2, 3], None)


def test_each_plugin_that_sweeps_has_a_thread_of_its_own(plugins):
    from qcore.cluster.run import services

    plugins.add("none")
    assert services(current.conf).sweepers == ()
    plugins.add("one", qcore_sweep=lambda now: None)
    plugins.add("two", qcore_sweep=lambda now: None)
    made = services(current.conf)
    assert made.sweepers == ("one", "two")
    assert 0 < made.make_sweep("two").tick() <= LONGEST


class TestStatements:
    """What plugins write without models."""

    def test_rows_that_are_there_are_left_out(self, plugins):
        table, columns = Ticket._meta.db_table, ("task_id", "gen")
        with transaction.atomic():
            assert current.ledger.insert(table, columns, []) == 0
            assert current.ledger.insert(table, columns, [("a", 1), ("b", 2)]) == 2
            rows = [("b", 3), ("c", 4)]
            assert current.ledger.insert(table, columns, rows, ignore=True) == 1
        sql = f"SELECT task_id, gen, runs FROM {table} WHERE gen > %s ORDER BY task_id"
        found = [("a", 1, 0), ("b", 2, 0), ("c", 4, 0)]
        assert current.ledger.execute(sql, [0]) == found

    def test_a_row_that_is_there_is_an_error(self, plugins):
        Ticket.objects.create(task_id="a")
        with pytest.raises(IntegrityError), transaction.atomic():
            current.ledger.insert(Ticket._meta.db_table, ("task_id",), [("b",), ("a",)])
        assert Ticket.objects.count() == 1

    def test_each_row_gets_its_own_values(self, plugins):
        for id in "abc":
            Ticket.objects.create(task_id=id)
        values = [("a", 1, "success"), ("c", 3, None)]
        current.ledger.change(
            Ticket._meta.db_table, "task_id", ("gen", "final"), values
        )
        current.ledger.change(Ticket._meta.db_table, "task_id", ("gen",), [])
        rows = Ticket.objects.order_by("task_id").values_list("gen", "final")
        assert list(rows) == [(1, "success"), (0, None), (3, None)]
