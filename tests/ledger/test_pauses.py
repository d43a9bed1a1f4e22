"""Paused queues: what is asked, and what clusters see of it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from chores.outside import OutsideBroker
from django.db import connection, transaction

from qcore.errors import CallError, ConfigError, StoreError
from qcore.ledger import place
from qcore.ledger.control import ControlWatch
from qcore.models import QueuePause
from qcore.runtime import current
from qcore.tasks import apause, apaused, aresume, pause, paused, resume
from qcore.tasks.loops import own_thread
from qcore.testing.speed import Patience

pytestmark = pytest.mark.usefixtures("outside")


@pytest.fixture
def watch(outside):
    """What the cluster of the queue "tests" sees."""
    watch = ControlWatch(current.conf)
    yield watch
    watch.close()


@pytest.fixture
def without_table(outside):
    """A database in which the table of pauses is not there yet."""
    table = QueuePause._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO later")
    place.forget()
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE later RENAME TO {table}")
    place.forget()


class TestAsking:
    def test_who_and_when_and_why(self):
        before = time.time()
        made = pause("mail", reason="the provider is down", by="ann")
        assert before - 60 < made.at < time.time() + 60
        assert (made.queue, made.by, made.reason) == (
            "mail",
            "ann",
            "the provider is down",
        )
        assert paused() == [made]

    def test_the_first_pause_stays(self):
        first = pause("mail", by="ann")
        assert pause("mail", by="bob", reason="once more") == first
        assert paused() == [first]

    def test_names_are_kept_as_they_are(self):
        names = ["Mail", "mail", "pöst 📮", "a" * 255]
        for name in names:
            pause(name)
        assert sorted(one.queue for one in paused()) == sorted(names)
        assert resume("mail").queue == "mail"
        assert {one.queue for one in paused()} == {*names} - {"mail"}

    def test_to_resume_ends_it(self):
        made = pause("mail")
        assert resume("mail") == made
        assert paused() == []
        assert resume("mail") is None

    def test_it_begins_with_the_commit(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            pause("mail")
            1 / 0  # noqa: B018
        assert paused() == []
        pause("mail")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            resume("mail")
            1 / 0  # noqa: B018
        assert [one.queue for one in paused()] == ["mail"]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ({"queue": ""}, "the name of the queue is empty, expected"),
            ({"queue": 5}, r"the name of the queue is 5 \(int\), expected a text: '5'"),
            ({"queue": "a" * 256}, "the name of the queue has 256 characters"),
            ({"queue": "a\0"}, "without the character NUL"),
            ({"queue": "mail", "reason": "x" * 501}, "reason has 501 characters"),
            ({"queue": "mail", "reason": 7}, r"reason is 7 \(int\)"),
            ({"queue": "mail", "by": "\ud800"}, "by is .* without lone surrogates"),
        ],
    )
    def test_what_no_queue_can_be_called_is_refused(self, words, told):
        with pytest.raises(CallError, match=told):
            pause(**words)
        assert paused() == []

    def test_without_its_table_it_says_what_to_type(self, without_table):
        for call in (lambda: pause("mail"), lambda: resume("mail"), paused):
            with pytest.raises(
                StoreError, match=r"manage\.py migrate --database=default"
            ):
                call()

    def test_without_a_ledger_it_says_what_to_set(self, monkeypatch):
        monkeypatch.setattr(type(current), "control", None)
        with pytest.raises(ConfigError, match="Add 'qcore' to INSTALLED_APPS"):
            pause("mail")

    @pytest.mark.skipif(
        connection.vendor == "sqlite", reason="a thread has another database in memory"
    )
    def test_in_an_event_loop(self):
        async def work():
            with pytest.raises(CallError, match=r"Write: await apause\(...\)"):
                pause("mail")
            async with own_thread():  # whose connection ends with it
                made = await apause("mail", by="ann")
                assert await apaused() == [made]
                return await aresume("mail")

        assert asyncio.run(work()).by == "ann"
        assert paused() == []


class TestWatching:
    def test_its_own_queue_alone(self, watch):
        assert watch.look() == (None, False)
        pause("mail")
        pause("Tests")
        assert watch.look() == (None, False)
        made = pause("tests")
        assert watch.look() == (made, False)
        resume("tests")
        assert watch.look() == (None, False)

    def test_an_idle_look_is_one_statement(self, watch, django_assert_num_queries):
        watch.look()
        with django_assert_num_queries(1):
            watch.look()

    @pytest.mark.fault("P3")
    def test_without_its_table_nothing_is_paused(self, watch, without_table, caplog):
        for _ in range(3):
            assert watch.look() == (None, False)
        assert caplog.text.count("no queue can be paused. Run: python manage.py") == 1

    @pytest.mark.skipif(
        connection.vendor != "postgresql", reason="other databases call nobody"
    )
    @pytest.mark.parametrize("what", [pause, resume])
    def test_a_call_ends_the_wait_at_once(self, watch, what):
        if what is resume:
            pause("tests")
        seen, listens, stopping = [], threading.Event(), threading.Event()

        def run():
            watch.wait(stopping, 0)  # from here on it listens
            listens.set()
            watch.wait(stopping, 600)
            seen.append(watch.look())
            watch.close()

        thread = threading.Thread(target=run, daemon=True)
        watch.look()
        thread.start()
        assert listens.wait(60)
        what("tests")
        thread.join(60)
        assert not thread.is_alive()
        assert [one is not None for one, _ in seen] == [what is pause]

    @pytest.mark.skipif(
        connection.vendor == "postgresql", reason="there, a call ends the wait"
    )
    def test_elsewhere_a_stop_ends_the_wait(self, watch):
        stopping = threading.Event()
        stopping.set()
        patience = Patience(30)
        watch.wait(stopping, 600)
        assert not patience.is_over()


def test_tasks_are_sent_meanwhile(outside):
    from qcore.tasks import async_task

    pause("tests")
    async_task("chores.kind.add", 1)
    assert outside.queue_size() == 1
    assert isinstance(outside, OutsideBroker)
