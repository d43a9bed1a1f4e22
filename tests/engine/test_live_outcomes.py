"""How a task can end, each as it is stored by a real cluster."""

from __future__ import annotations

import datetime as dt
import sys

import psutil
import pytest
from chores.ledger import let_go, wait_for
from django.db import connection
from django.utils import timezone

from qcore.models import Schedule
from qcore.tasks import async_task, fetch, progress, result
from qcore.tasks.execute import MAX_ERROR

#: No task of this module is tried again, unless it says so itself. None has to be killed:
#: each has time enough to clean up on a busy machine, too.
OPTIONS = {"max_attempts": 1, "grace": 10}
#: Seconds in which a task reaches the line in which its timeout is to find it.
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def cluster(_start):
    return _start(**OPTIONS)


def ended(task_id):
    """Wait for the record of a task."""
    record = fetch(task_id, wait=60_000)
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
    assert result(async_task("chores.kind.nap_async", key, 0.01), wait=60_000) == key
    assert len(ledger.entries(key, "cleaned up")) == 1


@pytest.mark.fault("B8")
def test_soft_timeout_runs_the_clean_up(cluster, ledger, key):
    task_id = async_task("chores.kind.slow_with_clean_up", key, 30, timeout=TIMEOUT)
    record = ended(task_id)
    assert record.outcome == "timeout"
    assert f"stopped after its timeout of {TIMEOUT} s" in record.result
    assert ", in slow_with_clean_up\n    time.sleep(seconds)" in record.result
    assert len(ledger.entries(key, "cleaned up")) == 1
    began, _ = ledger.entries(key)
    assert began.pid in cluster.workers, "its worker goes on"


@pytest.mark.fault("B21")
def test_timeout_of_a_coroutine_cancels_it(cluster, ledger, key):
    record = ended(async_task("chores.kind.nap_async", key, 30, timeout=TIMEOUT))
    assert record.outcome == "timeout"
    assert len(ledger.entries(key, "cleaned up")) == 1


@pytest.mark.fault("B21")
def test_a_coroutine_that_never_yields_is_stopped(cluster):
    record = ended(async_task("chores.rude.never_yields", 30, timeout=0.2))
    assert record.outcome == "timeout"


@pytest.mark.fault("B21")
def test_what_a_coroutine_has_not_awaited_is_cancelled_and_named(cluster, ledger, key):
    task_id = async_task("chores.kind.start_and_not_await", key)
    assert ended(task_id).success
    assert len(ledger.entries(key, "cleaned up")) == 1
    named = "left tasks of asyncio unfinished; they are cancelled: nap_async"
    assert f"chores.kind.start_and_not_await id={task_id} {named}" in cluster.log


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


@pytest.mark.fault("B18")
def test_an_exception_with_a_long_text_is_cut(cluster):
    record = ended(async_task("chores.raising.long_text", 10_000_000))
    assert record.result.startswith("ValueError: xxx")
    assert "characters left out" in record.result
    assert record.result.rstrip().endswith("xxx")
    assert len(record.result) < MAX_ERROR + 1000


@pytest.mark.fault("B17")
def test_a_deep_recursion_is_recorded_with_both_ends_of_its_traceback(cluster):
    record = ended(async_task("chores.raising.recurse"))
    assert record.result.startswith("RecursionError: maximum recursion depth exceeded")
    first, cut, last = record.result.partition(" characters left out ...")
    assert cut, "Python itself folds only a function that calls itself"
    assert "in recurse\n" in first, "where it began"
    assert "RecursionError" in last, "and where it ended"
    assert len(record.result) < MAX_ERROR + 1000


@pytest.mark.fault("B19")
def test_an_exception_of_a_module_that_is_gone_is_text(cluster, monkeypatch):
    """Nothing is imported where the failure is read."""
    sought = []

    class Spy:
        @staticmethod
        def find_spec(name, path=None, target=None):
            sought.append(name)

    monkeypatch.setattr(sys, "meta_path", [Spy, *sys.meta_path])
    record = ended(async_task("chores.raising.of_a_module_that_is_gone"))
    assert record.result.startswith("Gone: with its module\n")
    assert "module_that_is_gone.Gone: with its module" in record.result
    assert isinstance(record.result, str)
    assert not [name for name in sought if "gone" in name]


@pytest.mark.fault("B20")
def test_causes_notes_and_groups_are_all_told(cluster):
    text = ended(async_task("chores.raising.group")).result
    assert text.startswith("ExceptionGroup: two went wrong (2 sub-exceptions)\n")
    for part in (
        "ValueError: the first",
        "a note of the first",
        "KeyError: 'the second'",
        "OSError: the cause",
        "The above exception was the direct cause",
        "ZeroDivisionError: division by zero",
        "During handling of the above exception",
    ):
        assert part in text


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
    """It stays in the worker: the dispatcher never sees it."""
    dispatcher = psutil.Process(cluster.dispatcher)
    before = dispatcher.memory_info().rss
    record = ended(async_task("chores.kind.text_of", 60_000_000))
    assert record.success
    assert record.result == "<60,000,002 bytes, over max_result (10,485,760)>"
    assert dispatcher.memory_info().rss - before < 30_000_000


@pytest.mark.fault("B15")
def test_an_open_transaction_is_rolled_back(cluster):
    task_id = async_task("chores.rude.leave_transaction_open")
    assert ended(task_id).success
    # the row before the transaction is there, the one in it is not
    names = set(Schedule.objects.values_list("name", flat=True))
    assert names == {"left behind"}
    assert f"id={task_id} left a transaction open" in cluster.log
    assert result(async_task("chores.kind.add", 1, 1), wait=60_000) == 2


@pytest.mark.fault("B14")
def test_the_next_task_has_a_clean_django(cluster):
    async_task("chores.rude.change_language_and_zone")
    found = [async_task("chores.kind.language_and_zone") for _ in range(4)]
    assert {tuple(result(id, wait=60_000)) for id in found} == {("en-us", "UTC")}


@pytest.mark.fault("B14")
def test_the_handlers_of_a_worker_are_put_back(cluster):
    own = result(async_task("chores.rude.take_signals"), wait=60_000)

    def found():
        """Ask as many at once as there are workers."""
        ids = [async_task("chores.rude.handlers", 0.2) for _ in cluster.workers]
        return [result(id, wait=60_000) for id in ids]

    wait_for(lambda: own in found(), what="handlers in the same worker")
    assert len(set(own[1])) > 1


@pytest.mark.fault("G13")
def test_a_module_that_cannot_be_imported_fails_its_own_tasks(cluster):
    broken = ended(async_task("chores.broken.task"))
    assert broken.result.startswith("ZeroDivisionError: ")
    assert "chores/broken.py" in broken.result
    assert result(async_task("chores.kind.add", 1, 1), wait=60_000) == 2


@pytest.mark.fault("G11")
def test_an_unknown_function_is_a_failure_that_says_what_there_is(cluster):
    record = ended(async_task("not_installed_here.tasks.mail"))
    assert record.result.startswith("TaskNotFound: there is no function")


def test_the_results_table_has_one_row_for_each_task(cluster):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT id) FROM qcore_task")
        rows, ids = cursor.fetchone()
    assert rows == ids > 0


def test_expired(cluster, ledger, key):
    """It never begins; that it has ended can be read, and its hook is told."""
    moment = timezone.now() - dt.timedelta(seconds=1)
    options = {"expires": moment, "hook": "chores.kind.hook", "group": key}
    record = ended(async_task("chores.kind.record", key, q_options=options))
    assert (record.success, record.outcome) == (False, "expired")
    assert record.result.startswith("TaskExpired: it had not started by ")
    assert ledger.entries(key, "done") == []


def test_progress(cluster, ledger, key):
    """Anybody can read it while the task runs, and nobody afterwards."""
    task_id = async_task("chores.kind.tell_progress", key)
    told = wait_for(lambda: progress(task_id), what="progress")
    assert (told.done, told.total, told.note) == (3, 4, "three of four")
    let_go(key)
    assert ended(task_id).result == key
    wait_for(lambda: progress(task_id) is None, what="end of the progress")
