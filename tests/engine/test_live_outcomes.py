"""How a task can end, each as it is stored by a real cluster."""

from __future__ import annotations

import pytest
from django.db import connection

from qcore.models import Schedule
from qcore.tasks import async_task, fetch, result

#: No task of this module is tried again, unless it says so itself.
OPTIONS = {"max_attempts": 1, "grace": 0.3}


@pytest.fixture(scope="module")
def cluster(_start):
    return _start(**OPTIONS)


def ended(task_id):
    """Wait for the record of a task."""
    record = fetch(task_id, wait=15_000)
    assert record is not None, "no result in 15 s"
    return record


def test_success(cluster):
    record = ended(async_task("chores.kind.add", 2, right=3))
    assert (record.success, record.outcome, record.result) == (True, "success", 5)
    assert (record.args, record.kwargs) == ((2,), {"right": 3})
    assert record.attempt_count == 1


def test_failure(cluster):
    record = ended(async_task("chores.kind.fail", "too bad"))
    assert (record.success, record.outcome) == (False, "failure")
    assert record.result.startswith("ValueError: too bad\n")
    assert "chores/kind.py" in record.result, "the traceback shows where"


def test_coroutine(cluster, ledger, key):
    assert result(async_task("chores.kind.nap_async", key, 0.01), wait=10_000) == key
    assert len(ledger.entries(key, "cleaned up")) == 1


def test_soft_timeout_runs_the_clean_up(cluster, ledger, key):
    """Table of faults, B8."""
    task_id = async_task("chores.kind.slow_with_clean_up", key, 30, timeout=0.2)
    record = ended(task_id)
    assert record.outcome == "timeout"
    assert "stopped after its timeout of 0.2 s" in record.result
    assert len(ledger.entries(key, "cleaned up")) == 1
    began, _ = ledger.entries(key)
    assert began.pid in cluster.workers, "its worker goes on"


def test_timeout_of_a_coroutine_cancels_it(cluster, ledger, key):
    record = ended(async_task("chores.kind.nap_async", key, 30, timeout=0.2))
    assert record.outcome == "timeout"
    assert len(ledger.entries(key, "cleaned up")) == 1


@pytest.mark.fault("B21")
def test_a_coroutine_that_never_yields_is_stopped(cluster):
    record = ended(async_task("chores.rude.never_yields", 30, timeout=0.2))
    assert record.outcome == "timeout"


@pytest.mark.fault("B1")
def test_sys_exit_is_a_failure_and_the_worker_lives(cluster):
    before = cluster.workers
    record = ended(async_task("chores.rude.call_exit", 3))
    assert record.result.startswith("TaskError: the task called sys.exit(3)\n")
    assert cluster.workers == before


@pytest.mark.fault("B18")
def test_an_exception_without_text_is_recorded(cluster):
    record = ended(async_task("chores.rude.unprintable"))
    assert record.result.startswith("Unprintable: (its message cannot be shown)\n")


@pytest.mark.fault("B24")
def test_a_generator_is_no_result(cluster, ledger, key):
    record = ended(async_task("chores.kind.count_up", key, 1))
    assert "the task returned a generator" in record.result
    assert ledger.entries(key) == [], "nothing of it has run"


@pytest.mark.fault("C2")
def test_a_result_that_cannot_be_stored_is_a_success_with_a_note(cluster):
    record = ended(async_task("chores.rude.return_lock"))
    assert record.success
    assert record.result.startswith("<a lock that cannot be stored:")


@pytest.mark.fault("C4")
def test_a_result_over_the_limit_is_a_success_with_a_note(cluster):
    record = ended(async_task("chores.kind.text_of", 11_000_000))
    assert record.success
    assert record.result == "<11,000,002 bytes, over max_result (10,485,760)>"


@pytest.mark.fault("B15")
def test_an_open_transaction_is_rolled_back(cluster):
    task_id = async_task("chores.rude.leave_transaction_open")
    assert ended(task_id).success
    # the row before the transaction is there, the one in it is not
    names = set(Schedule.objects.values_list("name", flat=True))
    assert names == {"left behind"}
    assert f"id={task_id} left a transaction open" in cluster.log
    assert result(async_task("chores.kind.add", 1, 1), wait=10_000) == 2


@pytest.mark.fault("B14")
def test_the_next_task_has_a_clean_django(cluster):
    async_task("chores.rude.change_language_and_zone")
    found = [async_task("chores.kind.language_and_zone") for _ in range(4)]
    assert {tuple(result(id, wait=10_000)) for id in found} == {("en-us", "UTC")}


@pytest.mark.fault("G13")
def test_a_module_that_cannot_be_imported_fails_its_own_tasks(cluster):
    broken = ended(async_task("chores.broken.task"))
    assert broken.result.startswith("ZeroDivisionError: ")
    assert "chores/broken.py" in broken.result
    assert result(async_task("chores.kind.add", 1, 1), wait=10_000) == 2


@pytest.mark.fault("G11")
def test_an_unknown_function_is_a_failure_that_says_what_there_is(cluster):
    record = ended(async_task("not_installed_here.tasks.mail"))
    assert record.result.startswith("TaskNotFound: there is no function")


def test_the_results_table_has_one_row_for_each_task(cluster):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT id) FROM qcore_task")
        rows, ids = cursor.fetchone()
    assert rows == ids > 0
