"""Unique tasks: who gets the key, for how long, and what becomes of the others."""

from __future__ import annotations

import io
import threading
import time

import pytest
from chores import decorated, kind
from chores.outside import OutsideBroker
from django.db import connection, transaction
from django.test import override_settings
from msgspec.structs import replace

from qcore import RUN, Claim, Drop, Release, Settled, task
from qcore.cli import ledger, parser
from qcore.cli.exits import OK
from qcore.envelope import Options, Result
from qcore.errors import BrokerUnavailable, EnqueueError, LedgerError
from qcore.ledger.clock import Clock
from qcore.ledger.features import Features, tell
from qcore.ledger.tickets import Tickets
from qcore.models import OutboxRow, Schedule, Tracked
from qcore.runtime import current
from qcore.settled import TicketState
from qcore.tasks import (
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    fetch,
    schedule,
)
from qcore.tasks.calls import follow_on_id
from qcore.tasks.new_tasks import prepare
from qcore.testing.drain import drain, enqueued
from qcore_limits import Unique, keys, locks
from qcore_limits.keys import KeyTaken, sweep
from qcore_limits.models import ReplacedTask, UniqueKey
from qcore_limits.unique import LAST_RESORT, UNSENT, read_unique

WORDS = read_unique("job")
OUTSIDE = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}


@pytest.fixture(autouse=True)
def queue(transactional_db, monkeypatch):
    monkeypatch.setattr(Clock, "offset", 0.0)
    with override_settings(Q_CLUSTER=OUTSIDE):
        current.broker().purge_queue()
        yield
        current.broker().purge_queue()


def add(*args, **options):
    return async_task("chores.kind.add", *args, q_options=options)


def waiting():
    return [task.id for task in enqueued()]


def claim(task_id):
    """Claim a task as a cluster does; return what plugins say of it."""
    (task,) = [one for one in enqueued() if one.id == task_id]
    features = Features(current.registry.features, current.ledger, current.signer.sign)
    ((answer, _),) = features.admit([Claim(task, 1, 0.0)])
    return answer


def end(task_id, outcome="success", *, final=True):
    """Let a task end as a cluster does."""
    (task,) = [one for one in enqueued() if one.id == task_id]
    again = None if final else 60.0
    ended = Settled(task=task, outcome=outcome, final=final, again=again)
    with transaction.atomic():
        tell(current.registry.features, [ended])


def owners():
    return dict(UniqueKey.objects.values_list("key", "task_id"))


def test_a_declared_function():
    alone = decorated.double.using(unique="double:{number}")
    assert alone.enqueue(1) == alone.enqueue(1)
    first, second, third = alone.map([2, 2, 3])
    assert first == second != third


def test_a_project_without_the_app_sweeps_nothing(settings, django_assert_num_queries):
    installed = [app for app in settings.INSTALLED_APPS if app != "qcore_limits"]
    settings.INSTALLED_APPS = installed
    with django_assert_num_queries(0):
        assert sweep(0.0) > 0


# -- the key ---------------------------------------------------------------------------------
def test_the_function_with_the_same_arguments():
    first = add(1, 2, unique=True)
    assert add(1, 2, unique=True) == first
    others = [add(1, 3, unique=True), add(1, 2), add(2, 1, unique=True)]
    assert len({first, *others}) == 4
    assert len(waiting()) == 4
    assert async_task("chores.kind.echo", 1, q_options={"unique": True}) != first


def test_keywords_in_any_order():
    options = {"q_options": {"unique": True}}
    first = async_task("chores.kind.takes_anything", a=1, b=2, **options)
    assert async_task("chores.kind.takes_anything", b=2, a=1, **options) == first


def test_a_template_of_arguments_by_name_and_default():
    first = add(1, unique="sum:{left}:{right:.1f}")
    assert owners() == {"sum:1:0.0": first}
    assert add(1, 0, unique="sum:{left}:{right:.1f}") == first
    assert add(1, 1, unique="sum:{left}:{right:.1f}") != first


def test_one_key_for_several_functions():
    first = add(1, unique="job")
    assert async_task("chores.kind.echo", 1, q_options={"unique": "job"}) == first


@pytest.mark.parametrize("key", ["{order}", "{left:%Y}"])
def test_a_template_that_cannot_be_filled(key):
    with pytest.raises(EnqueueError, match=r"the key .* (names|cannot be filled)"):
        add(1, unique=key)
    assert (owners(), waiting()) == ({}, [])


def test_keys_of_any_length_and_alphabet():
    long, longer = "k" * 400, "k" * 401
    assert add(1, unique=long) != add(1, unique=longer)
    upper, lower = add(1, unique="\u00c9t\u00e9"), add(1, unique="\u00e9t\u00e9")
    assert upper != lower
    assert add(1, unique="\u00c9t\u00e9") == upper


def test_a_keyword_where_the_function_is_known_and_does_not_take_it():
    first = async_task(kind.add, 1, unique="job")
    assert owners() == {"job": first}
    other = async_task(kind.takes_anything, 1, unique="job")
    assert owners() == {"job": first}, "there, it is an argument"
    assert other != first


def test_false_is_as_if_it_were_left_out():
    assert add(1, unique=False) != add(1, unique=False)
    assert owners() == {}


# -- the other one ---------------------------------------------------------------------------
def test_raise_names_the_task_that_has_the_key():
    first = add(1, unique="job")
    with pytest.raises(KeyTaken, match=f"the task {first} has the key 'job'") as taken:
        add(2, unique=Unique("job", on_conflict="raise"))
    assert taken.value.task_id == first
    assert waiting() == [first]


def test_replace_drops_the_one_that_waits():
    first = add(1, unique="job")
    second = add(2, unique=Unique("job", on_conflict="replace"))
    assert owners() == {"job": second}
    assert claim(second) is RUN
    assert claim(first) == Drop("replaced", f"the task {second} has taken its key")
    end(first, "replaced")
    assert owners() == {"job": second}, "it had nothing to free"
    assert not ReplacedTask.objects.exists()


def test_the_last_of_several_replaces_all():
    unique = Unique("job", on_conflict="replace")
    ids = async_task_many(
        "chores.kind.add", [(1,), (2,), (3,)], q_options={"unique": unique}
    )
    assert len(set(ids)) == 3
    assert owners() == {"job": ids[2]}
    assert [claim(id) is RUN for id in ids] == [False, False, True]


def test_one_of_a_batch_is_sent_and_all_get_its_id():
    ids = async_task_many(
        "chores.kind.add", [(1,), (1,), (2,)], q_options={"unique": "sum:{left}"}
    )
    assert ids[0] == ids[1] != ids[2]
    assert waiting() == [ids[0], ids[2]]


# -- for how long ----------------------------------------------------------------------------
def test_until_done_holds_through_a_retry():
    first = add(1, unique="job")
    assert claim(first) is RUN
    end(first, "failure", final=False)
    assert add(2, unique="job") == first
    end(first, "failure")
    assert add(2, unique="job") != first


def test_waiting_ends_where_the_task_begins():
    unique = Unique("job", during="waiting")
    first = add(1, unique=unique)
    assert add(2, unique=unique) == first
    assert claim(first) is RUN
    second = add(3, unique=unique)
    assert second != first
    end(first, "failure", final=False)
    assert claim(first) is RUN, "its retry takes no key"
    assert owners() == {"job": second}


def test_seconds_hold_whatever_becomes_of_the_task(monkeypatch):
    unique = Unique("job", during=60)
    first = add(1, unique=unique)
    claim(first)
    end(first)
    assert add(2, unique=unique) == first
    monkeypatch.setattr(Clock, "offset", 61.0)
    second = add(3, unique=unique)
    assert second != first
    assert owners() == {"job": second}


def test_a_task_that_vanished_keeps_its_key_for_two_weeks_at_most(monkeypatch):
    first = add(1, unique="job")
    current.broker().purge_queue()
    assert add(1, unique="job") == first
    sweep(current.ledger.now())
    assert owners() == {"job": first}
    monkeypatch.setattr(Clock, "offset", LAST_RESORT + 1)
    assert sweep(current.ledger.now()) > 0
    assert owners() == {}


# -- together with the task --------------------------------------------------------------------
def test_a_rollback_frees_the_key():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add(1, unique="job")
        _ = 1 / 0
    assert owners() == {}
    assert add(1, unique="job") in waiting()


def test_a_batch_that_is_refused_leaves_no_key():
    add(2, unique="sum:2")
    with pytest.raises(KeyTaken):
        async_task_many(
            "chores.kind.add",
            [(1,), (2,)],
            q_options={"unique": Unique("sum:{left}", on_conflict="raise")},
        )
    assert list(owners()) == ["sum:2"]


def test_of_senders_at_the_same_time_one_gets_the_key():
    if connection.vendor == "sqlite":
        pytest.skip("the database of this test is in memory, and belongs to one thread")
    start, ids = threading.Barrier(4), []

    def send():
        try:
            start.wait(60)
            ids.append(add(1, unique="job"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert UniqueKey.objects.get().task_id == ids[0]


def test_a_key_that_is_freed_while_it_is_asked_for(monkeypatch):
    """The owner may end between the statement that finds its key and the one that locks it."""
    first = add(1, unique="job")
    real = keys._lock

    def lock(rows, now):
        if first in owners().values():
            UniqueKey.objects.all().delete()  # as the end of its owner does
        return real(rows, now)

    monkeypatch.setattr(keys, "_lock", lock)
    second = add(2, unique=Unique("job", on_conflict="replace"))
    assert second != first
    assert owners() == {"job": second}
    assert not ReplacedTask.objects.exists()


def test_a_project_without_the_outbox_loses_no_unique_task():
    """The key is committed before the task is sent: without a row, it would stay for weeks."""
    with override_settings(Q_CLUSTER=OUTSIDE | {"outbox": False}):
        OutsideBroker.errors.append(BrokerUnavailable("away"))
        id = add(1, unique="job")
        assert owners() == {"job": id}
        assert waiting() == []
        assert [row.task_id for row in OutboxRow.objects.all()] == [id]
        OutboxRow.objects.all().delete()


# -- a sender whose transaction stays open ---------------------------------------------------
@pytest.fixture
def open_sender():
    """Return what sends in a thread whose transaction is open until it is told to end."""
    done, threads = threading.Event(), []

    def start(**options):
        sent, ids = threading.Event(), []

        def send():
            try:
                with transaction.atomic():
                    ids.append(add(9, **options))
                    sent.set()
                    done.wait(120)
            finally:
                sent.set()
                connection.close()

        threads.append(threading.Thread(target=send))
        threads[-1].start()
        assert sent.wait(60)
        return ids[0]

    def commit():
        done.set()
        for thread in threads:
            thread.join(120)

    start.commit = commit
    yield start
    commit()


has_locks = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="one transaction at a time writes in this database",
)


@has_locks
def test_a_task_ends_while_a_sender_finds_its_key_taken(open_sender):
    first = add(1, unique="job")
    if connection.vendor == "postgresql":
        assert open_sender(unique="job") == first
        end(first)
        assert owners() == {}
        return
    # an INSERT that does nothing has locked the row
    assert open_sender(unique="job") == first
    with pytest.raises(LedgerError, match="has not committed"):
        end(first)
    open_sender.commit()
    end(first)
    assert owners() == {}


@has_locks
def test_the_end_of_a_task_does_not_wait_for_a_sender_that_replaces_it(open_sender):
    first, other = add(1, unique="job"), add(1, unique="other")
    second = open_sender(unique=Unique("job", on_conflict="replace"))
    with pytest.raises(LedgerError, match=f"{first} is locked .* has not committed"):
        end(first)
    end(other)
    assert owners() == {"job": first}
    open_sender.commit()
    end(first)
    assert owners() == {"job": second}


@has_locks
def test_a_task_whose_sender_replaces_it_just_now_comes_again(open_sender):
    waits = {"during": "waiting", "on_conflict": "replace"}
    first, other = add(1, unique=Unique("job", during="waiting")), add(1, unique="o")
    second = open_sender(unique=Unique("job", **waits))
    answer = claim(first)
    assert isinstance(answer, Release)
    assert "has not committed" in answer.why
    assert claim(other) == RUN
    open_sender.commit()
    assert isinstance(claim(first), Drop)
    assert owners()["job"] == second


@has_locks
def test_the_sweep_passes_over_a_key_that_is_being_taken(open_sender):
    old = add(1, unique=Unique("job", during=10.0))
    past = add(1, unique=Unique("past", during=10.0))
    Clock.offset += 11
    new = open_sender(unique="job")
    assert sweep(current.ledger.now()) > 0
    assert owners() == {"job": old}, "and not a key that nobody takes"
    open_sender.commit()
    assert owners() == {"job": new}
    assert past not in owners().values()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="it has such a setting")
def test_a_sender_waits_for_another_one_for_a_while(open_sender, monkeypatch):
    monkeypatch.setattr(locks, "LONGEST", 0.1)
    open_sender(unique="job")
    with transaction.atomic():
        with pytest.raises(BrokerUnavailable, match=r"has the key of chores.kind.add"):
            add(1, unique="job")
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",), "the setting of the caller is back"
        add(1, unique="another")
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)


# -- longer than the last resort -------------------------------------------------------------
@pytest.mark.parametrize("during", ["waiting", "until_done"])
def test_a_task_with_a_long_delay_keeps_its_key(during):
    unique, long = Unique("job", during=during), LAST_RESORT * 2
    options = {"q_options": {"unique": unique, "delay": long}}
    first = async_task("chores.kind.add", 1, **options)
    Clock.offset += LAST_RESORT + 1
    sweep(current.ledger.now())
    assert add(2, unique=unique) == first
    Clock.offset += long
    OutboxRow.objects.filter(task_id=first).delete()  # it was sent, and lost
    assert add(2, unique=unique) != first


@pytest.mark.parametrize("swept", [True, False])
def test_a_task_that_waits_in_the_outbox_keeps_its_key(swept):
    """As one that sleeps, or is tried again in a month."""
    options = {"q_options": {"unique": "job", "delay": 100 * 86_400}}
    first = async_task("chores.kind.add", 1, **options)
    UniqueKey.objects.update(until=current.ledger.now() - 1)
    if swept:
        sweep(current.ledger.now())
        assert UniqueKey.objects.get().until > current.ledger.now() + 86_400
    assert add(2, unique="job") == first
    OutboxRow.objects.all().delete()
    UniqueKey.objects.update(until=current.ledger.now() - 1)
    sweep(current.ledger.now())
    assert owners() == {}


@task(unique="rebuild")
def rebuild(number):
    return number


def test_what_follows_an_iter_is_not_skipped_for_a_task_that_runs_earlier():
    earlier = async_task(rebuild, 1)
    with pytest.raises(EnqueueError, match=r"on_complete=.*another task in its place"):
        async_iter("chores.kind.add", [(1, 1)], on_complete=rebuild)
    assert waiting() == [earlier]
    assert UniqueKey.objects.get().task_id == earlier
    drain()
    group = async_iter("chores.kind.add", [(1, 1)], on_complete=rebuild)
    drain()
    assert fetch(follow_on_id(group)).result == group


# -- from elsewhere ----------------------------------------------------------------------------
def test_each_link_of_a_chain_takes_its_own_key():
    async_chain(
        [("chores.kind.add", (1,)), ("chores.kind.add", (2,))],
        q_options={"unique": "sum:{left}"},
    )
    assert list(owners()) == ["sum:1"]
    counts = drain()
    assert counts.succeeded == 2
    assert owners() == {}, "freed by their ends"


def test_a_schedule_sends_none_beside_one_that_waits():
    first = add(1, unique="job")
    schedule("chores.kind.add", 2, q_options={"unique": Unique("job")})
    current.scheduler.tick()
    assert waiting() == [first]


class TestNextLink:
    """A link takes its key before its predecessor has ended, and may never be sent."""

    def link(self, **changes):
        """Prepare a link as a worker does; return the id of its predecessor and its own."""
        before = async_task("chores.kind.add", 1)
        (task,) = [one for one in enqueued() if one.id == before]
        new = replace(
            task, id=follow_on_id(before), options=Options(plugins={"unique": WORDS})
        )
        assert prepare(new, before).id == new.id
        assert owners() == {"job": new.id}
        return task, new.id

    def later(self, monkeypatch, seconds):
        monkeypatch.setattr(Clock, "offset", Clock.offset + seconds)
        sweep(current.ledger.now())

    def store(self, task, outcome, *, final=True):
        result = Result(
            task=task, outcome=outcome, value=b"1", content="json",
            started=1.0, stopped=2.0, attempt=1, final=final,
        )  # fmt: skip
        current.results.save([result])

    def test_whose_predecessor_fails_in_the_end_frees_its_key(self, monkeypatch):
        task, _ = self.link()
        self.later(monkeypatch, UNSENT + 1)
        assert len(owners()) == 1, "the predecessor is tried again"
        self.store(task, "failure", final=False)
        self.later(monkeypatch, UNSENT + 1)
        assert len(owners()) == 1
        self.store(task, "failure")
        self.later(monkeypatch, UNSENT + 1)
        assert owners() == {}

    def test_a_sender_takes_the_key_of_one_that_is_never_sent(self, monkeypatch):
        task, link = self.link()
        self.store(task, "failure")
        assert add(2, unique="job") == link, "nobody has looked yet"
        monkeypatch.setattr(Clock, "offset", UNSENT + 1)
        other = add(2, unique="job")
        assert owners() == {"job": other} != {"job": link}

    def test_that_was_sent_keeps_its_key(self, monkeypatch):
        task, link = self.link()
        self.store(task, "success")
        self.later(monkeypatch, UNSENT + 1)
        assert add(2, unique="job") == link
        self.later(monkeypatch, LAST_RESORT - 2 * UNSENT)
        assert owners() == {"job": link}
        self.later(monkeypatch, 2 * UNSENT)
        assert owners() == {}

    def test_of_which_nobody_knows_keeps_it_for_two_weeks(self, monkeypatch):
        self.link()
        for _ in range(3):
            self.later(monkeypatch, LAST_RESORT / 4)
            assert len(owners()) == 1
        self.later(monkeypatch, LAST_RESORT / 4 + 1)
        assert owners() == {}

    def test_a_ticket_that_says_how_the_predecessor_ended(self, monkeypatch):
        task, _ = self.link()
        Tickets("default").insert({task.id: TicketState(final="cancelled")})
        self.later(monkeypatch, UNSENT + 1)
        assert owners() == {}


class TestBrokerOfTheCall:
    """A broker that the call names is sent to after the commit, without the outbox."""

    @pytest.fixture
    def own(self):
        broker = OutsideBroker(current.conf, "tests")
        yield broker
        broker.errors.clear()

    def test_it_is_sent_once(self, own):
        first = add(1, unique="job", broker=own)
        assert add(1, unique="job", broker=own) == first
        assert (owners(), waiting()) == ({"job": first}, [first])
        assert OutboxRow.objects.count() == 0

    def test_one_that_cannot_be_sent_is_told_and_keeps_no_key(self, own):
        own.errors.append(BrokerUnavailable("away"))
        with pytest.raises(BrokerUnavailable, match="away"):
            add(1, unique="job", broker=own)
        assert (owners(), waiting()) == ({}, [])
        assert add(1, unique="job", broker=own) in waiting()

    def test_those_of_a_batch_that_were_sent_keep_theirs(self, own):
        error = BrokerUnavailable("away")
        error.stored = error.unsure = 1
        own.errors.append(error)
        with pytest.raises(BrokerUnavailable, match="away"):
            async_task_many(
                "chores.kind.add",
                [(1,), (2,), (3,)],
                q_options={"unique": "sum:{left}", "broker": own},
            )
        assert sorted(owners()) == ["sum:1", "sum:2"]

    def test_in_a_transaction_of_the_caller_it_is_logged(self, own, caplog):
        own.errors.append(BrokerUnavailable("away"))
        with transaction.atomic():
            add(1, unique="job", broker=own)
            assert len(owners()) == 1
        assert (owners(), waiting()) == ({}, [])
        assert "not sent after the commit" in caplog.text


def test_what_a_lost_queue_forgot_is_not_sent_beside_one_with_its_key(capsys):
    """`qcore ledger resend` asks plugins as for new tasks: key and limits are those of the call."""
    lost = add(1, unique="job", track=True)
    alone = add(2, unique="other", track=True)
    current.broker().purge_queue()
    UniqueKey.objects.filter(key="job").delete()
    taken = add(3, unique="job")
    Tracked.objects.update(enqueued=time.time() - 7200)
    words = parser().parse_args(["ledger", "resend", "--yes"])
    assert ledger.run(words, io.StringIO()) == OK
    assert f"{lost} is not sent: {taken} is in its place" in capsys.readouterr().err
    assert waiting() == [taken, alone]
    (_, sent) = enqueued()
    assert sent.needs == ("limits",)
    assert owners() == {"job": taken, "other": alone}


def test_a_schedule_that_is_paused_meanwhile_keeps_no_key(monkeypatch):
    from qcore.schedules import firing

    row = schedule("chores.kind.add", 2, q_options={"unique": Unique("job")})
    taken = []

    def pause(task, **more):
        found = prepare(task, **more)
        taken.append(owners())
        Schedule.objects.filter(pk=row.pk).update(paused=True)
        return found

    monkeypatch.setattr(firing, "prepare", pause)
    current.scheduler.tick()
    assert len(taken[0]) == 1
    assert (owners(), waiting()) == ({}, [])


@pytest.mark.parametrize(
    "during",
    [pytest.param(10**400, id="large"), float("nan"), float("inf"), True, 0, -1],
)
def test_a_time_that_is_none_is_refused(during):
    with pytest.raises(ValueError, match="during="):
        Unique(during=during)
