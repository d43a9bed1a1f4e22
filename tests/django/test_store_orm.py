"""What only the store in the database does: pruning, transactions, errors."""

from __future__ import annotations

import datetime as dt
import threading
import time

import msgspec
import pytest
from django.db import DataError, Error, OperationalError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from qcore import tasks
from qcore.brokers.memory import MemoryBroker
from qcore.conf import Conf
from qcore.envelope import Options, Outcome, new_id
from qcore.errors import (
    ConfigError,
    StoreBusy,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from qcore.models import Failure, Success, Task
from qcore.results import orm, pruning, sql
from qcore.results.failures import class_of
from qcore.results.orm import OrmStore
from qcore.runtime import current


def store(**conf) -> OrmStore:
    return OrmStore(Conf(**conf))


def names(manager=Success.objects) -> list[str]:
    return sorted(manager.values_list("name", flat=True))


# -- rows --------------------------------------------------------------------------------
def test_every_column_is_kept(db, make):
    result = make(
        "done",
        group="g",
        hook="shop.tasks.hook",
        links=2,
        options=Options(timeout=None, save=True),
        started=1_767_225_600.123456,
        attempt=4,
    )
    store().save([result])
    row = Task.objects.get()
    assert row.enqueued.timestamp() == pytest.approx(result.task.created, abs=1e-5)
    assert row.started.timestamp() == pytest.approx(1_767_225_600.123456, abs=2e-6)
    assert row.started.tzinfo is dt.UTC
    assert row.time_taken() == pytest.approx(0.25)
    assert (row.links, row.attempt_count, row.crashes) == (2, 4, 0)
    assert row.options == '{"timeout":null,"save":true}'
    assert (row.iter_index, row.iter_count) == (None, None)


@override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo")
def test_dates_are_local_where_django_has_no_zones(transactional_db, make):
    connection.close()  # PostgreSQL is told the zone of a session when it begins
    try:
        store().save([make(started=1_767_225_600.0)])
        assert Task.objects.get().started == dt.datetime(2026, 1, 1, 9)
    finally:
        connection.close()


def test_a_batch_is_one_statement_and_does_not_grow_with_it(db, make):
    keeper = store(save_limit=0)
    keeper.save([make()])
    with CaptureQueriesContext(connection) as one:
        keeper.save([make()])
    with CaptureQueriesContext(connection) as many:
        keeper.save([make() for _ in range(100)])
    assert Task.objects.count() == 102
    if connection.vendor != "sqlite":  # it has no round trips to save
        assert len(many) == len(one)


def test_a_large_batch_is_sent_in_portions(db, make, monkeypatch):
    monkeypatch.setattr(sql, "MAX_TEXT", 1000)
    results = [make("x" * 400) for _ in range(7)]
    store().save(results)
    assert Task.objects.count() == 7


def test_portions_hold_at_least_one_row(make, monkeypatch):
    from qcore.results.rows import collapse

    monkeypatch.setattr(sql, "MAX_TEXT", 10)
    rows = collapse([make("x" * 400) for _ in range(3)])
    assert [len(part) for part in sql.portions(rows)] == [1, 1, 1]


def test_an_unknown_database_is_refused():
    class Oracle:
        vendor = "oracle"

    with pytest.raises(ConfigError, match="'oracle'; expected sqlite"):
        sql.make_upsert(Oracle())


@pytest.mark.parametrize(
    ("mariadb", "version", "alias"),
    [(True, (11, 4), False), (False, (8, 0, 11), False), (False, (8, 4, 0), True)],
)
def test_mysql_is_asked_in_its_own_words(mariadb, version, alias):
    class Server:
        vendor = "mysql"
        timezone = dt.UTC
        ops = connection.ops
        mysql_is_mariadb = mariadb
        mysql_version = version

    tail = sql.make_upsert(Server()).tail
    assert (" AS new ON DUPLICATE KEY" in tail) is alias
    assert ("VALUES(`value`)" in tail) is not alias
    assert tail.index("`crashes` =") < tail.index("`started` =")
    assert tail.index("`value` =") < tail.index("`attempt_count` =")
    assert tail.index("`attempt_count` =") < tail.index("`success` =")
    assert tail.endswith("new.`success`)" if alias else "VALUES(`success`))")


# -- pruning -----------------------------------------------------------------------------
@pytest.fixture(params=[pruning.WHOLE, 0], ids=["whole", "followed"])
def ways(request, monkeypatch):
    """Each way in turn: the limits of these tests are small for one, large for the other."""
    monkeypatch.setattr(pruning, "WHOLE", request.param)


@pytest.mark.usefixtures("ways")
def test_the_newest_successes_remain(db, make):
    keeper = store(save_limit=3)
    for n in range(5):
        keeper.save([make(name=f"n{n}")])
        assert Success.objects.count() == min(3, n + 1)
    assert names() == ["n2", "n3", "n4"]


@pytest.mark.usefixtures("ways")
def test_a_batch_over_the_limit_is_cut_at_once(db, make):
    store(save_limit=2).save([make(name=f"n{n}") for n in range(10)])
    assert names() == ["n8", "n9"]


def test_zero_keeps_all(db, make):
    store(save_limit=0).save([make() for _ in range(10)])
    assert Success.objects.count() == 10


@pytest.mark.usefixtures("ways")
def test_failures_and_waiting_elements_do_not_count_and_stay(db, make):
    keeper = store(save_limit=1)
    keeper.save([make(outcome=Outcome.FAILURE) for _ in range(3)])
    group = new_id()
    keeper.save([make(group=group, iter_index=n, iter_count=9) for n in range(3)])
    keeper.save([make(name="old"), make(name="new")])
    assert names() == ["new"]
    assert Failure.objects.count() == 3
    assert Task.objects.filter(group=group).count() == 3


@pytest.mark.usefixtures("ways")
def test_a_joined_iter_counts_as_one(db, make):
    keeper = store(save_limit=2)
    keeper.save([make(name="old"), make(name="older", started=1.0)])
    group = new_id()
    keeper.save([make(n, group=group, iter_index=n, iter_count=3) for n in range(3)])
    assert keeper.collate(group, 3) is True
    assert set(Success.objects.values_list("id", flat=True)) == {
        group,
        Task.objects.get(name="old").id,
    }


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("per", ["group", "name", "func"])
def test_each_value_has_the_limit_for_itself(db, make, per):
    keeper = store(save_limit=2, save_limit_per=per)
    for n in range(4):
        keeper.save([make(n, **{per: "a.b"}), make(n, **{per: "c.d"})])
    for value in ("a.b", "c.d"):
        kept = Success.objects.filter(**{per: value}).order_by("stopped")
        assert [row.result for row in kept] == [2, 3]


@pytest.mark.usefixtures("ways")
def test_tasks_without_a_group_share_one_limit(db, make):
    keeper = store(save_limit=2, save_limit_per="group")
    keeper.save([make(n) for n in range(4)] + [make(n, group="g") for n in range(4)])
    assert Success.objects.filter(group=None).count() == 2
    assert Success.objects.filter(group="g").count() == 2


@pytest.mark.usefixtures("ways")
def test_many_values_in_one_batch(db, make):
    keeper = store(save_limit=1, save_limit_per="group")
    groups = [f"g{n}" for n in range(pruning.FEW + 3)] + [None]
    keeper.save([make(1, group=group) for group in groups])
    keeper.save([make(2, group=group) for group in groups])
    kept = Success.objects.order_by("group")
    assert [row.result for row in kept] == [2] * len(groups)


@pytest.mark.fault("E16")
@pytest.mark.parametrize(
    ("whole", "steps"), [(pruning.WHOLE, [9, 6, 3, 3]), (0, [8, 4, 3, 3])]
)
def test_a_lowered_limit_is_reached_in_steps(
    transactional_db, make, monkeypatch, whole, steps
):
    monkeypatch.setattr(pruning, "CHUNK", 4)
    monkeypatch.setattr(pruning, "WHOLE", whole)
    store(save_limit=0).save([make(name=f"n{n:02}") for n in range(12)])
    keeper, left = store(save_limit=3), []
    for n in range(12, 16):
        keeper.save([make(name=f"n{n:02}")])
        left.append(Success.objects.count())
    assert left == steps
    assert names() == ["n13", "n14", "n15"]


def recent(make, count, first=0):
    """Return results of tasks that have just ended, in this order."""
    now = time.time()
    return [
        make(name=f"n{n:03}", started=now - 60 + n * 0.01)
        for n in range(first, first + count)
    ]


@pytest.mark.fault("E19")
@pytest.mark.usefixtures("ways")
def test_a_success_is_not_pruned_before_its_acknowledgement(transactional_db, make):
    """Its package may come again, and must be recognised, also by another cluster."""
    killed, other = store(save_limit=3, retry=60), store(save_limit=3, retry=60)
    unsettled, later = recent(make, 5), recent(make, 20, first=5)
    killed.save(unsettled)  # and then its acknowledgement is lost
    for start in range(0, 20, 4):
        part = later[start : start + 4]
        other.save(part)
        other.acknowledged([one.task.id for one in part])
    other.tidy()
    ids = [one.task.id for one in unsettled]
    assert set(other.finished(ids)) == set(ids)
    assert names() == [*(f"n{n:03}" for n in range(5)), "n022", "n023", "n024"]


@pytest.mark.fault("E19")
@pytest.mark.usefixtures("ways")
def test_what_is_older_than_two_leases_is_pruned_by_anybody(transactional_db, make):
    killed, other = store(save_limit=3, retry=20), store(save_limit=3, retry=20)
    killed.save(recent(make, 5))  # a minute ago
    other.save(recent(make, 3, first=5))
    assert names() == ["n005", "n006", "n007"]


@pytest.mark.usefixtures("ways")
def test_what_is_acknowledged_is_pruned_when_nothing_follows(transactional_db, make):
    keeper, results = store(save_limit=3), recent(make, 10)
    keeper.save(results)
    assert len(names()) == 10
    assert keeper.is_untidy
    keeper.acknowledged([one.task.id for one in results])
    keeper.tidy()
    assert names() == ["n007", "n008", "n009"]
    assert not keeper.is_untidy


@pytest.mark.usefixtures("ways")
def test_while_tasks_come_acknowledged_successes_are_pruned_in_portions(
    transactional_db, make, monkeypatch
):
    monkeypatch.setattr(pruning, "PORTION", 8)
    monkeypatch.setattr(pruning, "PAUSE", 1e9)
    keeper, counts, looks = store(save_limit=3), [], 0
    for result in recent(make, 60):
        with CaptureQueriesContext(connection) as queries:
            keeper.save([result])
        looks += any("DELETE" in query["sql"] for query in queries)
        keeper.acknowledged([result.task.id])
        counts.append(Success.objects.count())
    assert 3 + 4 <= max(counts) <= 3 + 8
    assert 5 <= looks <= 10
    keeper.tidy()
    assert names() == ["n057", "n058", "n059"]


@pytest.mark.usefixtures("ways")
def test_what_waits_for_a_portion_does_not_wait_for_long(
    transactional_db, make, monkeypatch
):
    keeper, results = store(save_limit=3), recent(make, 12)
    keeper.save(results[:10])
    keeper.acknowledged([one.task.id for one in results[:10]])
    keeper.save(results[10:11])
    assert len(names()) == 11
    monkeypatch.setattr(pruning, "PAUSE", 0.0)
    keeper.save(results[11:])
    assert names() == ["n009", "n010", "n011"]


@pytest.mark.usefixtures("ways")
def test_a_rollback_forgets_nothing_that_waits_to_be_pruned(transactional_db, make):
    keeper, results = store(save_limit=3), recent(make, 10)
    keeper.save(results)
    keeper.acknowledged([one.task.id for one in results])
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        keeper.tidy()
        raise ZeroDivisionError
    assert len(names()) == 10
    assert keeper.is_untidy
    keeper.tidy()
    assert names() == ["n007", "n008", "n009"]


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("per", ["group", "name", "func"])
def test_each_limit_has_its_own_acknowledgements(transactional_db, make, per):
    keeper, now = store(save_limit=2, save_limit_per=per), time.time()
    results = [
        make(n, started=now - 60 + n * 0.01, **{per: value})
        for n in range(6)
        for value in ("a.b", "c.d")
    ]
    keeper.save(results)
    keeper.acknowledged([one.task.id for one in results if one.task.name != "c.d"])
    keeper.tidy()
    kept = Success.objects.filter(**{per: "a.b"}).order_by("stopped")
    assert [row.result for row in kept] == [4, 5]


def test_an_acknowledgement_costs_no_query(db, make, django_assert_num_queries):
    keeper, results = store(save_limit=3), recent(make, 10)
    keeper.save(results)
    with django_assert_num_queries(0):
        keeper.acknowledged([one.task.id for one in results])


def test_rows_below_the_floor_are_pruned_when_they_come_late(transactional_db, make):
    # two clusters whose clocks differ, each with a store of its own
    here, there = store(save_limit=3), store(save_limit=3)
    here.save([make(name=f"now{n}") for n in range(5)])
    there.save([make(name=f"past{n}", started=1000.0 + n) for n in range(5)])
    assert names() == ["now2", "now3", "now4"]
    here.save([make(name="past", started=999.0), make(name="now5")])
    assert names() == ["now3", "now4", "now5"]


@pytest.mark.usefixtures("ways")
def test_a_rollback_does_not_move_the_floor(transactional_db, make):
    keeper = store(save_limit=2)
    keeper.save([make(name=f"n{n}") for n in range(2)])
    later = [make(name=f"later{n}") for n in range(3)]
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        keeper.save(later)
        raise ZeroDivisionError
    assert names() == ["n0", "n1"]
    keeper.save(later)
    assert names() == ["later1", "later2"]


@pytest.mark.usefixtures("ways")
def test_equal_times_are_cut_exactly(db, make):
    store(save_limit=3).save([make(started=5.0) for _ in range(9)])
    assert Success.objects.count() == 3


def test_a_large_limit_is_followed_without_counting(
    transactional_db, make, monkeypatch
):
    monkeypatch.setattr(pruning, "WHOLE", 10)
    monkeypatch.setattr(pruning, "RECOUNT", 2.0)
    keeper = store(save_limit=20)
    with CaptureQueriesContext(connection) as queries:
        for n in range(30):
            keeper.save([make(name=f"n{n:02}")])
    assert names() == [f"n{n:02}" for n in range(10, 30)]
    assert len([query for query in queries if "COUNT(" in query["sql"]]) == 1


def test_what_others_left_is_found_when_a_large_limit_is_counted_again(
    transactional_db, make, monkeypatch
):
    monkeypatch.setattr(pruning, "WHOLE", 1)
    monkeypatch.setattr(pruning, "RECOUNT", 1.0)
    keeper = store(save_limit=3)
    keeper.save([make(name=f"n{n}") for n in range(3)])
    store(save_limit=0).save([make(name="past", started=1000.0), make(name="other")])
    for n in range(3, 8):
        keeper.save([make(name=f"n{n}")])
    assert names() == ["n5", "n6", "n7"]


# -- transactions and errors ---------------------------------------------------------------
class SameDatabase(MemoryBroker):
    database = "default"


def test_saving_and_acknowledging_are_one_transaction(transactional_db, make):
    keeper = store()
    with pytest.raises(ZeroDivisionError), keeper.joined(SameDatabase(keeper.conf)):
        keeper.save([make()])
        raise ZeroDivisionError
    assert not Task.objects.exists()
    with keeper.joined(SameDatabase(keeper.conf)):
        keeper.save([make()])
    assert Task.objects.count() == 1


def test_another_service_cannot_join(transactional_db, make):
    keeper = store()
    with pytest.raises(ZeroDivisionError), keeper.joined(MemoryBroker(keeper.conf)):
        keeper.save([make()])
        raise ZeroDivisionError
    assert Task.objects.count() == 1


def test_an_error_of_the_database_is_a_store_error(transactional_db, make):
    keeper = store()

    def broken(execute, statement, params, many, context):
        raise OperationalError("the disk is full")

    result = make()
    with (
        connection.execute_wrapper(broken),
        pytest.raises(StoreError, match=r"cannot store results.*the disk is full"),
    ):
        keeper.save([result])
    keeper.save([result])
    assert set(keeper.finished([result.task.id])) == {result.task.id}


def driver_error(**attributes):
    """Return an error of Django whose cause has what drivers say."""
    error = OperationalError("no")
    error.__cause__ = type("DriverError", (Exception,), attributes)("no")
    return error


@pytest.mark.fault("E18")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (driver_error(sqlstate="08006"), StoreUnavailable),
        (driver_error(pgcode="53100"), StoreUnavailable),  # the disk is full
        (driver_error(sqlstate="25006"), StoreUnavailable),  # read-only
        (driver_error(sqlstate="22P05"), StoreRefused),  # not in LATIN1
        (driver_error(sqlstate="23502"), StoreRefused),
        (driver_error(sqlstate="P0001"), StoreError),  # by a trigger
        (driver_error(sqlstate="57014"), StoreBusy),  # statement_timeout
        (driver_error(pgcode="55P03"), StoreBusy),  # lock_timeout, NOWAIT
        (driver_error(sqlstate="40P01"), StoreBusy),  # a deadlock
        (driver_error(sqlstate="57P01"), StoreUnavailable),  # shut down
        (OperationalError(1205, "lock wait timeout exceeded"), StoreBusy),
        (OperationalError(1213, "deadlock found"), StoreBusy),
        (OperationalError(1969, "max_statement_time exceeded"), StoreBusy),
        (OperationalError(1047, "WSREP has not yet prepared"), StoreUnavailable),
        (OperationalError(2003, "can't connect"), StoreUnavailable),
        (OperationalError(1114, "the table is full"), StoreUnavailable),
        (OperationalError(2006, "server has gone away"), StoreError),
        (OperationalError(1153, "packet bigger than"), StoreRefused),
        (OperationalError(1644, "by a trigger"), StoreError),
        (DataError(1366, "incorrect string value"), StoreRefused),
        (driver_error(sqlite_errorname="SQLITE_BUSY_SNAPSHOT"), StoreBusy),
        (driver_error(sqlite_errorname="SQLITE_FULL"), StoreUnavailable),
        (driver_error(sqlite_errorname="SQLITE_TOOBIG"), StoreRefused),
        (driver_error(sqlite_errorname="SQLITE_CONSTRAINT_NOTNULL"), StoreRefused),
        (driver_error(sqlite_errorname="SQLITE_CONSTRAINT_TRIGGER"), StoreError),
        (OverflowError("Python int too large"), StoreRefused),
        (UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates"), StoreRefused),
        (OperationalError("the connection is lost"), StoreError),
    ],
)
def test_errors_are_told_apart_where_they_tell(error, kind):
    assert class_of(error) is kind


@pytest.mark.fault("E18")
def test_a_ping_is_a_write_that_is_taken_back(transactional_db, make):
    """A database that can be read and takes no writes does not answer."""
    keeper = store()
    keeper.ping()
    assert Task.objects.count() == 0

    def read_only(execute, statement, params, many, context):
        if statement.startswith("INSERT"):
            raise OperationalError("read-only")
        return execute(statement, params, many, context)

    with connection.execute_wrapper(read_only):
        keeper.crashes([new_id()])
        with pytest.raises(StoreError, match=r"cannot store anything.*read-only"):
            keeper.ping()


def test_a_damaged_value_is_still_a_success(transactional_db, make):
    result = make(content="pickle")
    keeper = store()
    keeper.save([result, make(1)])
    Task.objects.filter(id=result.task.id).update(value="no base64!")
    assert len(keeper.finished([result.task.id])) == 1


def test_a_lost_connection_is_replaced(transactional_db, make):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no connection that could be lost")
    keeper = store()
    keeper.save([make()])
    kill = {
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
        "mysql": "KILL CONNECTION_ID()",
    }
    with pytest.raises(Error), connection.cursor() as cursor:
        cursor.execute(kill[connection.vendor])
    result = make()
    with pytest.raises(StoreError):
        keeper.save([result])
    keeper.save([result])
    assert set(keeper.finished([result.task.id])) == {result.task.id}


def test_two_recorders_store_the_same_tasks_at_once(transactional_db, make):
    if connection.vendor == "sqlite":
        pytest.skip("threads share one SQLite database in memory")
    first = [make(n) for n in range(50)]
    # the same tasks, delivered twice and in another order
    second = [
        msgspec.structs.replace(r, started=r.started + 1, attempt=2)
        for r in reversed(first)
    ]
    errors: list[BaseException] = []

    def record(results):
        try:
            keeper = store(save_limit=20)
            for start in range(0, 50, 10):
                keeper.save(results[start : start + 10])
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=record, args=[r]) for r in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    keeper = store(save_limit=20)
    keeper.save([make("last")])
    assert Success.objects.count() == 20


@pytest.mark.fault("E4")
def test_a_deadlock_is_tried_again_but_not_for_ever(transactional_db, make):
    left = 2

    def lose(execute, statement, params, many, context):
        nonlocal left
        if "INSERT" in statement and left:
            left -= 1
            raise OperationalError(1213, "Deadlock found") from ZeroDivisionError()
        return execute(statement, params, many, context)

    keeper, result = store(), make()
    with connection.execute_wrapper(lose):
        keeper.save([result])
        assert keeper.fetch(result.task.id) is not None
        left = 100
        with pytest.raises(StoreError, match="Deadlock"):
            keeper.save([make()])
    assert left == 100 - orm.DEADLOCKS


def test_the_store_of_this_process_is_this_one(db):
    assert type(current.store()) is OrmStore
    assert current.store().database == "default"


@pytest.mark.parametrize(("count", "told"), [(2, 0), (3, 1)])
def test_a_count_that_the_limit_cannot_keep_is_told_once(db, caplog, count, told):
    """Only who waits knows how many tasks a group has."""
    with override_settings(
        Q_CLUSTER={"name": "tests", "orm": "default", "save_limit": 2}
    ):
        current.told.clear()
        for _ in range(2):
            assert tasks.fetch_group("g", count=count) == []
        assert tasks.fetch_group("g", count=99, cached=True) == []
    assert caplog.text.count("save_limit keeps 2 successes") == told
