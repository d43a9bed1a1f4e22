"""What ends the wait of an idle consumer."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import closing, contextmanager

import pytest
from django.db import connections, transaction

from qcore.errors import BrokerError
from qcore.testing.speed import TRIES, Patience, in_time
from qcore_orm import filewatch, notify
from qcore_orm.waiting import NET, Polling

LONG = 30  # seconds; a poll that no test waits for
SOON = 8.0  # seconds; far below LONG, and enough for a slow machine


@contextmanager
def consuming(database, queue, **settings):
    """Run ``dequeue`` in a thread; yield what gives its deliveries and seconds."""
    came, started = [], threading.Event()

    def consume():
        with closing(database.broker(queue, **settings)) as broker:
            pause = broker._waiter.pause

            def tell(seconds):
                started.set()
                return pause(seconds)

            broker._waiter.pause = tell
            came.extend(broker.dequeue(limit=10, wait=LONG / 2))

    def result():
        thread.join(LONG)
        return [one.package for one in came]

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    assert started.wait(SOON)
    time.sleep(0.2)  # for it to listen; sooner is tested by the look that follows
    yield result
    thread.join(LONG)


@pytest.fixture
def postgres(make_database, unblocked):
    return make_database("postgres")


@pytest.fixture
def sqlite(make_database, unblocked):
    return make_database("sqlite")


@pytest.fixture
def no_polling(monkeypatch):
    """Let nobody find work by looking again and again."""
    monkeypatch.setattr(Polling, "pause", lambda self, seconds: time.sleep(seconds))


def assert_woken(database, **settings):
    producer = database.broker()
    with consuming(database, producer.queue, **settings) as result:
        sent = time.monotonic()
        producer.enqueue(b"wake up")
        assert result() == [b"wake up"]
        assert in_time(time.monotonic() - sent, SOON)


def test_notification_wakes(postgres, no_polling):
    assert_woken(postgres, poll=LONG)


def test_notification_comes_with_the_commit(postgres, no_polling):
    producer = postgres.broker()
    with consuming(postgres, producer.queue, poll=LONG) as result:
        with transaction.atomic(using=postgres.alias):
            producer.enqueue_many([b"one", b"two"])
        sent = time.monotonic()
        assert result() == [b"one", b"two"]
        assert in_time(time.monotonic() - sent, SOON)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is a part of Linux")
def test_write_to_the_file_wakes(sqlite, no_polling):
    assert_woken(sqlite, poll=LONG)


def test_sqlite_is_polled_without_inotify(sqlite, monkeypatch):
    def refuse(paths):
        raise OSError("too many watches")

    monkeypatch.setattr(filewatch, "FileEvents", refuse)
    assert_woken(sqlite, poll=0.2)


def test_databases_are_polled(database):
    assert_woken(database, poll=0.1)


@pytest.mark.fault("D14")
def test_lost_notifications_are_made_up_for(postgres):
    """As behind a pooler that gives each transaction another connection."""
    broker = postgres.broker(poll=0.1)
    assert broker.dequeue(wait=0.2) == []
    with broker._waiter._wrapper.cursor() as cursor:
        cursor.execute("UNLISTEN *")
    producer = threading.Timer(0.3, _send, [postgres, broker.queue])
    producer.start()
    assert [one.package for one in broker.dequeue(wait=SOON)] == [b"sent"]
    producer.join()
    broker.close()


@pytest.mark.fault("D14")
def test_a_lost_listener_is_told_once_and_replaced_by_polling(postgres, caplog):
    broker = postgres.broker(poll=0.05)
    assert broker.dequeue(wait=0.2) == []
    pid = broker._waiter._wrapper.connection.info.backend_pid
    with caplog.at_level(logging.WARNING, "qcore.orm"):
        postgres.run(f"SELECT pg_terminate_backend({pid})")
        assert broker.dequeue(wait=0.5) == []
        broker.enqueue(b"sent")
        assert [one.package for one in broker.dequeue(wait=SOON)] == [b"sent"]
        assert broker.dequeue(wait=0.3) == []
    assert broker._waiter._wrapper is None
    assert [r.getMessage()[:26] for r in caplog.records] == [
        "cannot listen for packages"
    ]
    broker.close()


def test_listening_that_is_refused_leaves_polling(postgres, dead_alias, caplog):
    broker = postgres.broker(poll=0.05)
    broker._waiter._template = connections[dead_alias("postgres", "hunter2")]
    with caplog.at_level(logging.WARNING, "qcore.orm"):
        producer = threading.Timer(0.3, _send, [postgres, broker.queue])
        producer.start()
        assert [one.package for one in broker.dequeue(wait=SOON)] == [b"sent"]
        producer.join()
    assert len(caplog.records) == 1
    assert "hunter2" not in caplog.text
    broker.close()


def test_a_listener_listens_again_later(postgres):
    broker = postgres.broker(poll=0.05)
    broker._waiter._give_up(OSError("once"))
    assert broker.dequeue(wait=0.1) == []
    assert broker._waiter._wrapper is None
    broker._waiter._retry_at = 0
    assert broker.dequeue(wait=0.1) == []
    assert broker._waiter._wrapper is not None
    broker.close()


def test_notifications_do_not_pile_up_while_the_queue_is_busy(postgres):
    broker = postgres.broker(poll=LONG)
    assert broker.dequeue(wait=0.1) == []
    for _ in range(5):
        _send(postgres, broker.queue)
    while broker.dequeue():
        continue
    assert broker._waiter._receive(broker._waiter._wrapper, 0.1) is False
    broker.close()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is a part of Linux")
def test_a_log_that_is_replaced_is_watched_anew(sqlite):
    broker = sqlite.broker(poll=0.1)
    assert broker.dequeue(wait=0.2) == []
    before = broker._waiter._events
    before.stale = True
    assert broker.dequeue(wait=0.2) == []
    assert broker._waiter._events is not before
    assert before._fd == -1
    broker.close()


def test_a_failing_look_leaves_the_error_to_the_claim(database, dead_alias):
    broker = database.broker()
    broker._session = type(broker._session)(
        dead_alias(database.kind, "secret"), broker.queue
    )
    broker._sql = broker._session.statements
    assert broker._look() == 0
    with pytest.raises(BrokerError):
        broker.dequeue(wait=LONG)


def _send(database, queue):
    with closing(database.broker(queue)) as producer:
        producer.enqueue(b"sent")


# -- what an idle consumer asks ------------------------------------------------------
@contextmanager
def counting(broker, *names):
    """Count the calls of statements, by name, while the block runs."""
    counts = dict.fromkeys(names, 0)
    whole = {name: getattr(broker._sql, name) for name in names}

    def counted(name):
        def call(*given, **more):
            counts[name] += 1
            return whole[name](*given, **more)

        return call

    for name in names:
        setattr(broker._sql, name, counted(name))
    yield counts
    for name in names:
        delattr(broker._sql, name)


@pytest.fixture(params=["postgres", "sqlite"])
def announcing(request, make_database, unblocked):
    """Databases that tell a waiting consumer of what changes."""
    if request.param == "sqlite" and sys.platform != "linux":
        pytest.skip("inotify is a part of Linux")
    return make_database(request.param)


def test_an_idle_consumer_looks_rarely_and_claims_nothing(announcing):
    with closing(announcing.broker(poll=0.01)) as broker:
        assert broker.dequeue(wait=0.1) == []
        broker.enqueue(b"package")
        (held,) = broker.dequeue(wait=SOON)
        broker.acknowledge(held.receipt)
        patience = Patience(SOON)
        while broker._waiter._rest.left() < NET / 2:  # what was announced is over
            assert broker.dequeue(wait=0.1) == []
            assert not patience.is_over()
        with counting(broker, "claim", "ahead") as counts:
            for _ in range(5):
                assert broker.dequeue(wait=0.1) == []
        assert counts["claim"] == 0
        assert counts["ahead"] <= 1, "the net, if it was due just then"
        assert broker._waiter._rest.is_trusted


def test_who_does_not_wait_claims_what_is_there(announcing):
    with closing(announcing.broker()) as broker:
        assert broker.dequeue(wait=0.1) == []
        broker.enqueue_many([b"one", b"two"])
        assert [one.package for one in broker.dequeue()] == [b"one"]
        assert [one.package for one in broker.dequeue(wait=SOON)] == [b"two"]


def test_what_is_given_back_wakes(announcing, no_polling):
    with closing(announcing.broker()) as producer:
        producer.enqueue(b"again")
        (held,) = producer.dequeue(wait=SOON)
        with consuming(announcing, producer.queue, poll=LONG) as result:
            released = time.monotonic()
            producer.release([held.receipt])
            assert result() == [b"again"]
            assert in_time(time.monotonic() - released, SOON)


def test_what_becomes_visible_is_found_at_its_time(announcing, no_polling):
    """It was known before the wait began, and nothing announces it."""
    with closing(announcing.broker(poll=LONG)) as broker:
        broker.enqueue(b"later", delay=2)
        broker.dequeue(wait=0.5)
        waited = time.monotonic()
        assert [one.package for one in broker.dequeue(wait=LONG)] == [b"later"]
        assert in_time(time.monotonic() - waited, SOON)


def test_announcements_that_never_come_are_not_relied_on(postgres, monkeypatch):
    """Behind PgBouncer there may be no error, and no notification either."""
    monkeypatch.setattr(
        notify, "_notified", lambda connection, seconds: time.sleep(seconds)
    )
    with closing(postgres.broker(poll=0.05)) as broker:
        assert broker.dequeue(wait=0.3) == []
        assert not broker._waiter._rest.is_trusted
        for _ in range(TRIES):  # a busy machine may not come to look so often
            with counting(broker, "ahead") as counts:
                assert broker.dequeue(wait=1) == []
            if counts["ahead"] >= 5:
                break
        assert counts["ahead"] >= 5
