"""``sync``, ``drain`` and ``perform`` inside a transaction that the task breaks."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import override_settings

from qcore.models import Task
from qcore.tasks import async_task, result
from qcore.testing.drain import drain, perform

# each test is in a transaction, as in a TestCase
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]

SYNC = {"name": "tests", "sync": True}


def is_usable() -> bool:
    User.objects.create(username="after")
    return not connection.needs_rollback and User.objects.count() > 0


@pytest.mark.parametrize(
    ("name", "error"),
    [("same_name_twice", IntegrityError), ("no_such_table", DatabaseError)],
)
def test_the_error_of_the_task_is_raised_and_stored(name, error):
    with override_settings(Q_CLUSTER=SYNC), pytest.raises(error):
        async_task(f"chores.breaking.{name}", "a")
    stored = Task.objects.get()
    assert not stored.success
    assert "TransactionManagementError" not in stored.result
    with pytest.raises(error):
        perform(f"chores.breaking.{name}", "b")
    async_task(f"chores.breaking.{name}", "c")
    assert drain(raises=False).failed == 1
    assert Task.objects.count() == 2
    assert is_usable()


def test_an_error_that_the_task_swallows_is_swallowed():
    with override_settings(Q_CLUSTER=SYNC):
        assert result(async_task("chores.breaking.swallow", "a")) == "a"
    assert perform("chores.breaking.swallow", "b") == "b"
    assert is_usable()


def test_what_a_failing_task_has_written_stays_as_in_a_cluster():
    with override_settings(Q_CLUSTER=SYNC), pytest.raises(ValueError, match="kept"):
        async_task("chores.breaking.write_and_fail", "kept")
    assert User.objects.filter(username="kept").exists()
    assert is_usable()


def test_a_hook_that_breaks_the_transaction_changes_nothing(caplog):
    first = async_task("chores.kind.add", 1, 2, hook="chores.breaking.hook")
    second = async_task("chores.kind.add", 3, 4)
    assert drain().succeeded == 2
    assert (result(first), result(second)) == (3, 7)
    assert "hook chores.breaking.hook" in caplog.text
    assert "IntegrityError" in caplog.text
    assert is_usable()


def test_what_the_caller_wrote_stays_and_can_be_rolled_back():
    with pytest.raises(KeyError), transaction.atomic():
        User.objects.create(username="caller")
        with override_settings(Q_CLUSTER=SYNC), pytest.raises(IntegrityError):
            async_task("chores.breaking.same_name_twice", "task")
        assert list(User.objects.values_list("username", flat=True)) == ["caller"]
        raise KeyError
    assert not User.objects.exists()
